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

# --- gRPC -----------------------------------------------------------------------------------------------------------

#: Fields of a message at any depth: 32 inputs and 32 outputs of 32 parameters each come to 8,600.
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
#: RTSTRUCTs, and structures of each, that a refusal offers to choose from.
MAX_OFFERED = 100
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
#: Contours and points of one GTV, bound by what they cost: the worst files at this limit that were tried took 4 s of a
#: processor and 450 MB; the densest real GTV known (106 contours, 106,233 points along voxel edges) takes 1 s.
MAX_CONTOURS = 1_000
MAX_POINTS = 200_000
#: A coordinate in the patient, mm: beyond it are other units or damage.
MAX_COORDINATE_MM = 100_000

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
DECODING_BYTES_PER_PIXEL = 24
#: Processor time of reading and cutting a request's studies: 100 slices with ten GTVs take 0.5 s, and each further GTV
#: 0.04 s; what is larger may take longer.
STUDY_SECONDS = 1.5
STUDY_BYTES_PER_SECOND = 16 * MIB
#: Memory of that, beside the bytes sent: they are read file by file.
STUDY_BYTES = 256 * MIB
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
#: A file of the golden case: a slice of 1,000 x 1,000 float32.
MAX_GOLDEN_BYTES = 4 * MIB
#: HU by which the golden crop may differ, whatever the manifest says: the noise of a scanner is 50 times that.
MAX_GOLDEN_CROP_HU = 0.1
#: Probability by which a golden answer may differ, whatever the manifest says: what is promised of a GPU.
MAX_GOLDEN_PROBABILITY = 1e-3
#: A file with a key: PEM of Ed25519 has 119 bytes, encrypted 300.
MAX_KEY_BYTES = 16 * 1024
