"""Every bound on what comes from outside, in one place; ``docs/limits.md`` is the same table for people.

What is beyond a bound is refused while it is read, before memory or time is spent on it, and the error names the bound.
"""

MIB = 2**20

# --- HTTP and connections -------------------------------------------------------------------------------------------

# --- gRPC -----------------------------------------------------------------------------------------------------------

# --- JSON, forms and tensors ----------------------------------------------------------------------------------------

# --- zip ------------------------------------------------------------------------------------------------------------

# --- DICOM ----------------------------------------------------------------------------------------------------------

# --- pixels and contained work --------------------------------------------------------------------------------------

#: Bytes of one part of a contained call or of its reply: the largest body, and room for a slice of 4096 x 4096 px.
MAX_CONTAINED_REPLY_BYTES = 256 * MIB
#: Processor time of decoding a slice: 0.6 s for 512 x 512, where the slowest codec takes 0.07, 8.9 s for 4096 x 4096.
DECODING_SECONDS, DECODING_PIXELS_PER_SECOND = 0.5, 2_000_000
#: Memory of decoding a slice, beside the decoders themselves: JPEG 2000 keeps several numbers a pixel.
DECODING_BYTES, DECODING_BYTES_PER_PIXEL = 64 * MIB, 24
#: Processor time of reading and cutting a request's studies: 100 slices with ten GTVs take 0.5 s, and each further GTV
#: 0.04 s; what is larger may take longer.
STUDY_SECONDS, STUDY_BYTES_PER_SECOND = 1.5, 16 * MIB
#: Memory of that, beside the bytes sent: they are read file by file.
STUDY_BYTES = 256 * MIB
#: Fragments of a CT's compressed pixels: a slice has one or a few, an enhanced CT some of each frame.
MAX_FRAGMENTS = 10_000
#: Segments before a JPEG's scan: encoders write a handful.
MAX_JPEG_SEGMENTS = 100
#: Tiles of a JPEG 2000 frame: a slice of 4096 x 4096 in tiles of 128 x 128.
MAX_TILES = 1024
#: Segments of an RLE frame: a byte of each sample (PS3.5 G.5).
MAX_RLE_SEGMENTS = 4

# --- bundles --------------------------------------------------------------------------------------------------------
