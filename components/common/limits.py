"""All limits on external input, in one place; ``docs/limits.md`` is the same table for users.

Input beyond a limit is refused while it is read, before memory or time is spent on it, and the error names the limit.
"""

KIB = 2**10
MIB = 2**20
GIB = 2**30

# --- HTTP and connections -------------------------------------------------------------------------------------------

#: A zip of 500 packed slices, or binary tensors of 700 crops; held as received, so that many fit in memory.
MAX_BINARY_BODY_BYTES = 64 * MIB
#: Any other body: parsed into Python objects, it takes several times its size.
MAX_JSON_BODY_BYTES = 16 * MIB
#: Size of a request's line and headers, of a chunk's line, and of the trailers; far more than any proxy adds.
HEAD_BYTES = 64 * KIB
#: Header lines: each takes 3 us to read, and thousands of them would block the event loop.
HEAD_LINES = 256
#: Seconds in which the headers must arrive, from the connection's or their first byte; at most those of a body.
HEAD_SECONDS = 20.0
#: Chunks that a body may have whatever its size is: they take 3 ms to read.
CHUNKS = 256
#: Bytes that a body must have for each further chunk: 64 MiB of such chunks take 0.7 s to read.
CHUNK_BYTES = KIB
#: Seconds in which a body must arrive, and for which the rest of a refused one is read and discarded.
BODY_SECONDS = 60.0
#: Each period of so many seconds must bring ``PACE_BYTES`` of a body, or its end: a line of 26 kbit/s suffices.
PACE_SECONDS = 20.0
#: The least amount that counts as progress.
PACE_BYTES = 64 * KIB
#: Seconds without ``PACE_BYTES`` after which a body or gRPC message may be dropped for another when none has room.
PATIENCE_SECONDS = 0.5
#: Seconds that an HTTP connection may stay open between requests: longer than for proxies, so that they close first.
IDLE_SECONDS = 65
#: Seconds in which a caller must read at least a part of a reply that waits for it.
READ_SECONDS = 20.0
#: Connections open at once, where the process may have as many descriptors: several for each accepted request.
CONNECTIONS = 512
#: Connections accepted in one turn of the event loop; up to twice as many hold a descriptor until others are closed.
ACCEPTS = 32
#: Requests started in one turn of the event loop, which takes some milliseconds.
REQUEST_STARTS = 8
#: Connections that wait to be accepted.
BACKLOG = 2048
#: Descriptors reserved for files and for gRPC's own use, beside those of open and of incoming connections.
DESCRIPTORS_KEPT = 48
#: Requests accepted but not answered yet: some seconds of work.
REQUESTS = 64
#: Bodies held at once, in units of MAX_BINARY_BODY_BYTES: with what is parsed from them, half of the pod's memory.
BODIES = 4
#: A client may hold this many times the free part of a shared resource: 8 of 9 when alone, and never the last one.
CLIENT_SHARE_OF_FREE = 8
#: A body of at least this size waits for a worker in another queue than its sender's small ones.
LARGE_BODY_BYTES = MIB
#: Seconds without a finished request, although there is work, after which the liveness probe fails.
STUCK_SECONDS = 120.0

# --- gRPC -----------------------------------------------------------------------------------------------------------

#: Inference messages received at once; gRPC holds their pieces in memory for a while.
INFER_MESSAGES = 4
#: Messages about metadata or readiness received at once, beside those: they are small, unless they are hostile.
FACTS_MESSAGES = 1
#: Calls that wait to be received; beyond this, the one that has waited longest is dropped.
WAITING_CALLS = 128
#: Bytes buffered of a message that is not yet being received; the rest stays with its sender.
UNASKED_BYTES = 256 * KIB
#: Size of a call's metadata.
METADATA_BYTES = 16 * KIB
#: Size of an error's details, which travel as metadata: callers accept 8 kB of it by default. Longer lists are omitted.
DETAILS_BYTES = 4 * KIB
#: Connections at once; where the process may have fewer descriptors, half of those.
GRPC_CONNECTIONS = 4096
#: Seconds for a connection's handshake.
HANDSHAKE_SECONDS = 2.0
#: Seconds without a call after which a connection is closed; its client opens another when it has one.
GRPC_IDLE_SECONDS = 60.0
#: Seconds for a message about metadata or readiness.
FACTS_SECONDS = 10.0
#: Fields of a message at any depth: an input has five, each of its parameters four; MAX_LISTED of both come to 5,000.
MAX_FIELDS = 10_000

# --- JSON, forms and tensors ----------------------------------------------------------------------------------------

#: Crops of a request: 93 MB as float32.
MAX_CROPS = 1024
#: Studies of a request: unpacking and cutting each one takes seconds.
MAX_STUDIES = 8
#: Tumours of a study that are answered: more than are treated by radiosurgery at once.
MAX_TUMOURS = 32
#: Files of a study: a head in slices of 0.5 mm has some 600.
MAX_FILES = 2000
#: Unpacked bytes of a study: 500 slices of 512 x 512, which fill the largest body when compressed.
MAX_UNPACKED_BYTES = 256 * MIB
#: RTSTRUCTs that an error lists for the caller to choose from.
MAX_OFFERED_RTSTRUCTS = 100
#: Structures listed of all of them together, and characters of a name (PS3.5 6.2: LO): the reply stays below 0.5 MiB.
MAX_OFFERED_STRUCTURES = 500
MAX_OFFERED_NAME = 64
#: Characters of a name, an id or an option.
MAX_TEXT = 256
#: Inputs or outputs of a V2 request, and repetitions of any other gRPC field; the model has twelve outputs.
MAX_LISTED = 32
#: Dimensions of a tensor's shape; those of this model have three.
MAX_DIMENSIONS = 8
#: Lists and objects of a JSON body: as Python objects, empty ones take thirty times their bytes; 183 crops have 28,000.
MAX_CONTAINERS = 200_000
#: Values of a JSON body, counted as commas: the numbers of 183 crops, as many as a gRPC message of 16 MiB holds.
MAX_VALUES = 4 * 2**20
#: Keys and texts of a JSON body: 8 studies of 2,000 files in base64, and their options, twice over.
MAX_STRINGS = 40_000
#: Fields of a URL's query, including those that gateways add.
MAX_QUERY_FIELDS = 32
#: Parts of a form: the files of the largest study, and a few fields.
MAX_PARTS = 2016
#: A form's delimiter (RFC 2046 5.1.1: 70 characters and two hyphens).
MAX_DELIMITER_BYTES = 72
#: Headers of one part of a form; browsers write two lines.
MAX_PART_HEAD_BYTES = 8 * KIB

# --- zip ------------------------------------------------------------------------------------------------------------

#: Entries, folders counted: a patient's planning CT has a few hundred files, and all imaging of years fits.
ZIP_MAX_ENTRIES = 20_000
#: Unpacked size of a zip on disk.
ZIP_MAX_BYTES = 4 * GIB
#: Ratio of unpacked to packed size above which a zip is a bomb: air and padding compress well, but not as well.
ZIP_MAX_RATIO = 200
#: Bytes that a zip may unpack to whatever its ratio is: small files of zeros and air are no bomb.
ZIP_ALWAYS_BYTES = 12 * MIB
#: Bytes of the directory for each allowed entry: the longest path of Windows with dates and owners takes 340.
ZIP_MAX_ENTRY_BYTES = 512
#: Length of a name: the longest path that Linux opens.
ZIP_MAX_NAME_BYTES = 4 * KIB
#: How often the size of the largest zip may be unpacked from a zip: its headers are read first, then its files, once.
ZIP_MAX_READS = 2

# --- DICOM ----------------------------------------------------------------------------------------------------------

#: Inflated bytes of a deflated file: an enhanced CT of 500 frames.
MAX_INFLATED_BYTES = 256 * MIB
#: Elements and items that are visited in one file, where an opened item counts ten times: 1 s of processor time. 100
#: structures of 300 contours each take 1 million in sequences of undefined length, whose inner ones are visited once
#: for each level, and half as many in others.
MAX_DICOM_ELEMENTS = 1_500_000
#: The same before pixels, frames and contours: scanners write up to 2,000, and a study has 2,000 files.
MAX_HEADER_ELEMENTS = 10_000
#: The same in an image that pydicom reads with its pixels, at several us each: an enhanced CT of 1,000 frames.
MAX_IMAGE_ELEMENTS = 400_000
#: Depth of nested sequences: an RTSTRUCT has 3, an enhanced CT 4; each level takes as much memory as its content.
MAX_DICOM_DEPTH = 12
#: Values of one element other than contours and pixels: a look-up table of 16 bits.
MAX_DICOM_VALUES = 65_536
#: Bytes of an attribute that is read as text or as a few numbers: the longest such text in DICOM has 10,240 characters.
MAX_DICOM_TEXT_BYTES = 16 * KIB
#: Bytes before the pixels or contours of a file: scanners' private attributes take up to 2 MiB.
MAX_HEADER_BYTES = 6 * MIB
#: The same with the frames' attributes: 5,000 frames of 10 kB.
MAX_FRAMES_BYTES = 48 * MIB
#: Size of an RTSTRUCT: the densest known have 20 MiB, and a value is copied for each sequence around it.
MAX_RTSTRUCT_BYTES = 64 * MIB
#: Frames of a CT object: the longest whole-body CT has 3,000.
MAX_FRAMES = 5_000
#: Contours and points of one GTV: the densest known has 106 contours and 106,233 points, along voxel edges.
MAX_CONTOURS = 1_000
MAX_POINTS = 200_000
#: The same in all requested structures of one RTSTRUCT: 1 s of processor time to read.
MAX_CONTOURS_IN_ALL = 10_000
MAX_POINTS_IN_ALL = 400_000
#: Crossings of scan lines and outlines that are computed for one study: half a second of processor time. The densest
#: GTV takes half a million; outlines that are folded all over themselves take 200 for each point.
MAX_CROSSINGS = 5_000_000
#: A patient coordinate, mm: larger ones are in other units or damaged.
MAX_COORDINATE_MM = 100_000
#: PixelSpacing, mm: from micro-CT to the coarsest attenuation map; anything else is in other units or damaged.
MIN_SPACING_MM = 0.01
MAX_SPACING_MM = 10

# --- pixels and contained work --------------------------------------------------------------------------------------

#: Rows or columns of a slice; no CT has more than 2,048.
MAX_SIDE_PX = 4096
#: One part of a contained call or of its reply: the largest body, and room for a slice of 4096 x 4096 px.
MAX_CONTAINED_BYTES = 256 * MIB
#: Processor time of decoding a slice: 0.6 s for 512 x 512, where the slowest codec takes 0.07, 8.9 s for 4096 x 4096.
DECODING_SECONDS = 0.5
DECODING_PIXELS_PER_SECOND = 2_000_000
#: Memory of decoding a slice, beside the decoders themselves: JPEG 2000 holds several numbers per pixel.
DECODING_BYTES = 64 * MIB
DECODING_BYTES_PER_PIXEL = 12
#: Processor time of reading and cutting a request's studies: 100 slices with ten GTVs take 0.5 s, and each further GTV
#: 0.04 s; larger studies may take longer.
STUDY_SECONDS = 1.8
STUDY_BYTES_PER_SECOND = 64 * MIB
#: Memory of the same, beside the bytes sent: they are read file by file.
STUDY_BYTES = 256 * MIB
#: Size from which studies are large: these are cut one after the other, since each takes several times its bytes.
LARGE_STUDIES_BYTES = 8 * MIB
#: Files that hold the same slice: the same export, two or three times.
MAX_SLICE_COPIES = 8
#: Fragments of a CT's compressed pixels: a slice has one or a few, an enhanced CT some for each frame.
MAX_FRAGMENTS = 10_000
#: Segments before a JPEG's scan: encoders write a handful.
MAX_JPEG_SEGMENTS = 100
#: Tiles of a JPEG 2000 frame: a slice of 4096 x 4096 in tiles of 128 x 128.
MAX_TILES = 1024

# --- bundles --------------------------------------------------------------------------------------------------------

#: Size of a manifest: the digests of 50,000 patients, with everything else.
MAX_MANIFEST_BYTES = 8 * MIB
#: Patients that a bundle has seen: far more than any cohort has; each is 64 digits in the manifest.
MAX_SEEN_PATIENTS = 50_000
#: Their tumours, likewise.
MAX_SEEN_CROPS = 50_000
#: Members of an ensemble: as many as a study may ask for.
MAX_MEMBERS = 999
#: Groups with members in one bundle.
MAX_GROUPS = 260
#: Characters of a text in a manifest: a group, a member's id, a setting.
MAX_MANIFEST_TEXT = 1000
#: The graph with its weights: 600 members of the paper's size; while it starts, the predictor holds several copies.
MAX_GRAPH_BYTES = 32 * MIB
#: Memory that one crop needs on its way through the graph: 190 members of the paper's size.
MAX_GRAPH_MEMORY_BYTES = 256 * MIB
#: Multiplications for one crop: 40 times those of the paper's ten members, which is half a second of one processor.
MAX_GRAPH_MULTIPLICATIONS = 4_000_000_000
#: Nodes of a graph; fifty members of ours have 40 to 80, and a deep network of this field a few hundred.
MAX_GRAPH_NODES = 2000
#: Processor time and memory of reading a graph: ten times what the largest takes.
GRAPH_CHECK_SECONDS = 20
GRAPH_CHECK_BYTES = 512 * MIB
#: Processor time and memory of trying a graph on one crop before it is opened: twice what the largest takes, and more.
TRIAL_SECONDS = 10
TRIAL_BYTES = 768 * MIB
#: Size of a file of the golden case: a slice of 1,000 x 1,000 float32.
MAX_GOLDEN_BYTES = 4 * MIB
#: HU by which the golden crop may differ, whatever the manifest says: the noise of a scanner is 50 times as large.
MAX_GOLDEN_CROP_HU = 0.1
#: Difference allowed in a golden probability, whatever the manifest says: the agreement that is promised for a GPU.
MAX_GOLDEN_PROBABILITY = 1e-3
#: Size of a key file: PEM of Ed25519 has 119 bytes, encrypted 300.
MAX_KEY_BYTES = 16 * 1024
