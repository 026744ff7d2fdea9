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

# --- JSON, forms and tensors ----------------------------------------------------------------------------------------

#: Crops of a request: more than any cohort has tumours, and 93 MB as float32.
MAX_CROPS = 1024
#: Studies of a request: each is unpacked and cut, which takes seconds.
MAX_STUDIES = 8
#: Tumours of a study that are answered; patients with more are treated as a whole brain.
MAX_TUMOURS = 32
#: Files of a study: the thinnest planning CT of a head has 600 slices.
MAX_FILES = 2000
#: Unpacked bytes of a study: 500 slices of 512 x 512, which fill the largest body when they are packed.
MAX_UNPACKED_BYTES = 256 * MIB
#: RTSTRUCTs, and structures of each, that a refusal offers to choose from.
MAX_OFFERED = 100
#: Characters of a name, an id or an option.
MAX_TEXT = 256
#: Inputs or outputs of a V2 request; the model has two inputs and twelve outputs.
MAX_LISTED = 32
#: Lists and objects of a JSON body; the most that a body needs are the rows of 1,024 crops.
MAX_CONTAINERS = 200_000
#: Parts of a form: the files of the largest study, and a few fields.
MAX_PARTS = 2016
#: A form's delimiter (RFC 2046 5.1.1: 70 characters and two hyphens).
MAX_DELIMITER_BYTES = 72
#: Headers of one part of a form; browsers write two lines.
MAX_PART_HEAD_BYTES = 8 * KIB

# --- zip ------------------------------------------------------------------------------------------------------------

#: A zip of one patient's planning CT has a few hundred files; more than this is not one.
ZIP_MAX_ENTRIES = 20_000
#: Unpacked size of a zip on disk.
ZIP_MAX_BYTES = 4 * GIB
#: Unpacked to packed size above which a zip is a bomb: air and padding compress well, but not like this.
ZIP_MAX_RATIO = 200

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

# --- bundles --------------------------------------------------------------------------------------------------------
