"""Every bound on what comes from outside, in one place; ``docs/limits.md`` is the same table for people.

What is beyond a bound is refused while it is read, before memory or time is spent on it, and the error names the bound.
"""

MIB = 2**20

# --- HTTP and connections -------------------------------------------------------------------------------------------

# --- gRPC -----------------------------------------------------------------------------------------------------------

# --- JSON, forms and tensors ----------------------------------------------------------------------------------------

# --- zip ------------------------------------------------------------------------------------------------------------

# --- DICOM ----------------------------------------------------------------------------------------------------------

#: Elements and items that are passed in one DICOM file, an item that is opened counting ten times: 1 s of a processor.
#: 100 structures of 300 contours each take 1.1 million in sequences of undefined length, whose inner ones are passed
#: once for each level, and half as many in others.
MAX_DICOM_ELEMENTS = 1_500_000
#: Sequences inside each other: an RTSTRUCT has 3, an enhanced CT 4; each level takes as much memory as its content.
MAX_DICOM_DEPTH = 12
#: Values of one element, but for contours and pixels: a look-up table of 16 bits.
MAX_DICOM_VALUES = 2**16
#: Bytes of an attribute that is read as text or as a few numbers: DICOM's longest such text has 10,240 characters.
MAX_DICOM_TEXT = 16 * 1024
#: Bytes before the pixels or contours of a DICOM file: scanners' private attributes take up to 2 MiB.
MAX_HEADER_BYTES = 6 * MIB
#: The same with the frames' attributes: 5,000 frames of 10 kB.
MAX_FRAMES_BYTES = 48 * MIB
#: Contours and points of one GTV: the densest that is known has 106 contours and 106,233 points, along voxel edges.
MAX_CONTOURS, MAX_POINTS = 1_000, 200_000
#: The same of all structures that are wanted of one RTSTRUCT: 1 s of a processor.
MAX_CONTOURS_IN_ALL, MAX_POINTS_IN_ALL = 10_000, 400_000
#: Crossings of scan lines and outlines that are worked on for one study: half a second of a processor. The densest GTV
#: takes half a million; outlines that are folded all over themselves take 200 for each point.
MAX_CROSSINGS = 5_000_000
#: Frames of a CT object: the longest whole-body CT has 3,000.
MAX_FRAMES = 5_000
#: Bytes of an RTSTRUCT: the densest that are known have 20 MiB; each is copied up to four times.
MAX_RTSTRUCT_BYTES = 64 * MIB

# --- pixels and contained work --------------------------------------------------------------------------------------

# --- bundles --------------------------------------------------------------------------------------------------------
