"""Every bound on what comes from outside, in one place; ``docs/limits.md`` is the same table for people.

What is beyond a bound is refused while it is read, before memory or time is spent on it, and the error names the bound.
"""

KIB = 2**10
MIB = 2**20
GIB = 2**30

# --- HTTP and connections -------------------------------------------------------------------------------------------

#: A zip of 500 packed slices, or binary tensors of 700 crops; held as it came, so that many fit in memory.
MAX_BINARY_BODY_BYTES = 64 * MIB
#: Any other body: as Python objects it takes several times its size.
MAX_JSON_BODY_BYTES = 16 * MIB
#: Of a request's line and headers, of a chunk's line, and of the trailers; far above what any proxy adds.
HEAD_BYTES = 64 * KIB
#: Lines of a head: each takes 3 us to read, and thousands of them would hold up the event loop.
HEAD_LINES = 256
#: Seconds in which a head must come, from the connection's or the head's first byte; the least of this and of a body's.
HEAD_SECONDS = 20.0
#: Chunks that a body may have whatever its size: they take 3 ms to read.
CHUNKS = 256
#: Bytes before each further chunk: 64 MiB of such chunks take 0.7 s to read.
CHUNK_BYTES = KIB
#: Seconds in which a body must come, and in which the rest of a refused one is thrown away.
BODY_SECONDS = 60.0
#: Seconds in which a body must bring ``PACE_BYTES`` or end, again and again: a line of 26 kbit/s still does.
PACE_SECONDS = 20.0
#: The least that counts as coming on.
PACE_BYTES = 64 * KIB
#: Seconds without ``PACE_BYTES`` after which a body, and for gRPC a message, makes way for another when all is taken.
PATIENCE_SECONDS = 0.5
#: Seconds that an HTTP connection may stay open between requests: more than proxies have, that they close first.
IDLE_SECONDS = 65
#: Seconds in which a caller must read some of an answer that waits for it.
READ_SECONDS = 20.0
#: Open at once, where the process may have as many descriptors: some for each of the requests accepted.
CONNECTIONS = 512
#: Accepted in one turn of the event loop; twice as many hold a descriptor before as many are closed in their favour.
ACCEPTS = 32
#: Requests begun in one turn of the event loop: some milliseconds.
BEGINNINGS = 8
#: Connections that wait to be accepted.
BACKLOG = 2048
#: Kept for files and for gRPC's own ends, beside those of connections and those being accepted.
DESCRIPTORS_KEPT = 48
#: Requests accepted and not answered yet: some seconds' work.
REQUESTS = 64
#: Bytes of bodies held at once, in MAX_BINARY_BODY_BYTES: with what is made of them, half of the pod's memory.
BODIES = 4
#: A client may hold this times what is free of a thing that is shared: alone 8 of 9, and never the last.
SHARE_ALPHA = 8
#: A body from this size waits for a worker in another lane than its sender's small ones.
LARGE_BODY_BYTES = MIB
#: Seconds without a finished request, although there is work, after which the process says that it is not alive.
STUCK_SECONDS = 120.0

# --- gRPC -----------------------------------------------------------------------------------------------------------

#: Inference messages received at once; gRPC keeps their pieces for a while.
INFER_MESSAGES = 4
#: Messages that ask for a model's facts received at once, beside those: they are small, unless they are hostile.
FACTS_MESSAGES = 1
#: Calls that wait to be received; the one that has waited longest makes way.
WAITING_CALLS = 128
#: Of a message that is not asked for yet; more stays with its sender.
UNASKED_BYTES = 256 * KIB
#: Of a call's metadata.
METADATA_BYTES = 16 * KIB
#: Of a refusal, which travels as metadata: callers take 8 kB of them by default. Longer lists are left out.
DETAILS_BYTES = 4 * KIB
#: Connections at once; where descriptors are few, half of them.
GRPC_CONNECTIONS = 4096
#: Seconds for a connection's first words.
HANDSHAKE_SECONDS = 2.0
#: Seconds without a call after which a connection is closed; its client opens another when it has one.
GRPC_IDLE_SECONDS = 60.0
#: Seconds for a message that asks for a model's facts.
FACTS_SECONDS = 10.0
#: Fields of a message at any depth: an input has five, each of its parameters four; MAX_LISTED of both come to 5,000.
MAX_FIELDS = 10_000

# --- JSON, forms and tensors ----------------------------------------------------------------------------------------

#: Crops of a request: 93 MB as float32.
MAX_CROPS = 1024
#: Studies of a request: each is unpacked and cut, which takes seconds.
MAX_STUDIES = 8
#: Tumours of a study that are answered: more than are treated by radiosurgery at once.
MAX_TUMOURS = 32
#: Files of a study: a head in slices of 0.5 mm has some 600.
MAX_FILES = 2000
#: Unpacked bytes of a study: 500 slices of 512 x 512, which fill the largest body when they are packed.
MAX_UNPACKED_BYTES = 256 * MIB
#: RTSTRUCTs that a refusal offers to choose from.
MAX_OFFERED = 100
#: Structures of all of them together, and characters of a name (PS3.5 6.2: LO): the reply stays below half a MiB.
MAX_OFFERED_STRUCTURES = 500
MAX_OFFERED_TEXT = 64
#: Characters of a name, an id or an option.
MAX_TEXT = 256
#: Inputs or outputs of a V2 request, and over gRPC any other field of one name; the model has twelve outputs.
MAX_LISTED = 32
#: Dimensions of a tensor's shape; those of this model have three.
MAX_DIMENSIONS = 8
#: Lists and objects of a JSON body: as Python objects, empty ones take thirty times their bytes; 183 crops have 28,000.
MAX_CONTAINERS = 200_000
#: Values of a JSON body, counted as commas: the numbers of 183 crops, as many as a gRPC message of 16 MiB holds.
MAX_VALUES = 4 * 2**20
#: Keys and texts of a JSON body: 8 studies of 2,000 files in base64, and their options, twice over.
MAX_STRINGS = 40_000
#: Fields of an address's query, those of gateways among them.
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
#: Unpacked to packed size above which a zip is a bomb: air and padding compress well, but not like this.
ZIP_MAX_RATIO = 200
#: Bytes that a zip may unpack to whatever its ratio: small files of zeros and air are no bomb.
ZIP_ALWAYS_BYTES = 12 * MIB
#: Bytes of the directory for each entry that is allowed: the longest path of Windows, dates and owners take 340.
ZIP_MAX_ENTRY_BYTES = 512
#: A name: the longest path that Linux opens.
ZIP_MAX_NAME_BYTES = 4 * KIB
#: Times that the bytes of the largest zip may be unpacked from one: its headers are read first, then its files, once.
ZIP_MAX_READS = 2

# --- DICOM ----------------------------------------------------------------------------------------------------------

#: Inflated bytes of a deflated file: an enhanced CT of 500 frames.
MAX_INFLATED_BYTES = 256 * MIB
#: Elements and items that are passed in one file, an item that is opened counting ten times: 1 s of a processor. 100
#: structures of 300 contours each take 1 million in sequences of undefined length, whose inner ones are passed once for
#: each level, and half as many in others.
MAX_DICOM_ELEMENTS = 1_500_000
#: The same before pixels, frames and contours: scanners write up to 2,000, and a study has 2,000 files.
MAX_HEADER_ELEMENTS = 10_000
#: The same of an image that pydicom reads with its pixels, several us for each: an enhanced CT of 1,000 frames.
MAX_IMAGE_ELEMENTS = 400_000
#: Sequences inside each other: an RTSTRUCT has 3, an enhanced CT 4; each level takes as much memory as its content.
MAX_DICOM_DEPTH = 12
#: Values of one element, but for contours and pixels: a look-up table of 16 bits.
MAX_DICOM_VALUES = 65_536
#: Bytes of an attribute that is read as text or as a few numbers: DICOM's longest such text has 10,240 characters.
MAX_DICOM_TEXT_BYTES = 16 * KIB
#: Bytes before the pixels or contours of a file: scanners' private attributes take up to 2 MiB.
MAX_HEADER_BYTES = 6 * MIB
#: The same with the frames' attributes: 5,000 frames of 10 kB.
MAX_FRAMES_BYTES = 48 * MIB
#: An RTSTRUCT: the densest that are known have 20 MiB, and a value is copied for each sequence around it.
MAX_RTSTRUCT_BYTES = 64 * MIB
#: Frames of a CT object: the longest whole-body CT has 3,000.
MAX_FRAMES = 5_000
#: Contours and points of one GTV: the densest that is known has 106 contours and 106,233 points, along voxel edges.
MAX_CONTOURS = 1_000
MAX_POINTS = 200_000
#: The same of all structures that are wanted of one RTSTRUCT: 1 s of a processor to read.
MAX_CONTOURS_IN_ALL = 10_000
MAX_POINTS_IN_ALL = 400_000
#: Crossings of scan lines and outlines that are worked on for one study: half a second of a processor. The densest GTV
#: takes half a million; outlines that are folded all over themselves take 200 for each point.
MAX_CROSSINGS = 5_000_000
#: A coordinate in the patient, mm: beyond it are other units or damage.
MAX_COORDINATE_MM = 100_000
#: PixelSpacing, mm: from micro-CT to the coarsest map of attenuation; beyond are other units or damage.
MIN_SPACING_MM = 0.01
MAX_SPACING_MM = 10

# --- pixels and contained work --------------------------------------------------------------------------------------

#: Rows or columns of a slice; no CT has more than 2,048.
MAX_SIDE_PX = 4096
#: One part of a contained call or of its answer: the largest body, and room for a slice of 4096 x 4096 px.
MAX_CONTAINED_BYTES = 256 * MIB
#: Processor time of decoding a slice: 0.6 s for 512 x 512, where the slowest codec takes 0.07, 8.9 s for 4096 x 4096.
DECODING_SECONDS = 0.5
DECODING_PIXELS_PER_SECOND = 2_000_000
#: Memory of decoding a slice, beside the decoders themselves: JPEG 2000 keeps several numbers a pixel.
DECODING_BYTES = 64 * MIB
DECODING_BYTES_PER_PIXEL = 12
#: Processor time of reading and cutting a request's studies: 100 slices with ten GTVs take 0.5 s, and each further GTV
#: 0.04 s; what is larger may take longer.
STUDY_SECONDS = 1.8
STUDY_BYTES_PER_SECOND = 64 * MIB
#: Memory of that, beside the bytes sent: they are read file by file.
STUDY_BYTES = 256 * MIB
#: Bytes of studies that are large: they are cut one after the other, since each takes several times its bytes.
LARGE_STUDIES_BYTES = 8 * MIB
#: Files that hold one slice again and again: an export twice, or three times.
MAX_SLICE_COPIES = 8
#: Fragments of a CT's compressed pixels: a slice has one or a few, an enhanced CT some of each frame.
MAX_FRAGMENTS = 10_000
#: Segments before a JPEG's scan: encoders write a handful.
MAX_JPEG_SEGMENTS = 100
#: Tiles of a JPEG 2000 frame: a slice of 4096 x 4096 in tiles of 128 x 128.
MAX_TILES = 1024

# --- bundles --------------------------------------------------------------------------------------------------------

#: A manifest: 50,000 patients' digests with everything else.
MAX_MANIFEST_BYTES = 4 * MIB
#: Patients that a bundle has seen: far above any cohort; each is 64 digits in the manifest.
MAX_SEEN_PATIENTS = 50_000
#: Members of an ensemble: as many as a study may ask for.
MAX_MEMBERS = 999
#: Characters of a text in a manifest: a group, a member's id, a setting.
MAX_MANIFEST_TEXT = 1000
#: The graph with its weights: 600 members of the paper's size; at its start the predictor holds it several times over.
MAX_GRAPH_BYTES = 32 * MIB
#: What one crop needs of memory on its way through the graph: 190 members of the paper's size.
MAX_GRAPH_MEMORY_BYTES = 256 * MIB
#: Multiplications of one crop: 40 times the paper's ten members, which is half a second of one processor.
MAX_GRAPH_MULTIPLICATIONS = 4_000_000_000
#: Nodes of a graph; ours have 23, and a deep network of this field a few hundred.
MAX_GRAPH_NODES = 2000
#: Processor time and memory of reading a graph: ten times what the largest takes.
GRAPH_CHECK_SECONDS = 20
GRAPH_CHECK_BYTES = 512 * MIB
#: Processor time and memory of trying a graph before it is opened: ten times what fifty members take for four crops.
TRIAL_SECONDS = 10
TRIAL_BYTES = 768 * MIB
#: A file of the golden case: a slice of 1,000 x 1,000 float32.
MAX_GOLDEN_BYTES = 4 * MIB
#: HU by which the golden crop may differ, whatever the manifest says: the noise of a scanner is 50 times that.
MAX_GOLDEN_CROP_HU = 0.1
#: Probability by which a golden answer may differ, whatever the manifest says: what is promised of a GPU.
MAX_GOLDEN_PROBABILITY = 1e-3
#: A file with a key: PEM of Ed25519 has 119 bytes, encrypted 300.
MAX_KEY_BYTES = 16 * 1024
