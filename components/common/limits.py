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
#: A file of the golden case: a slice of 1,000 x 1,000 float32.
MAX_GOLDEN_BYTES = 4 * MIB
#: HU by which the golden crop may differ, whatever the manifest says: the noise of a scanner is 50 times that.
MAX_GOLDEN_CROP_HU = 0.1
#: Probability by which a golden answer may differ, whatever the manifest says: what is promised of a GPU.
MAX_GOLDEN_PROBABILITY = 1e-3
#: A file with a key: PEM of Ed25519 has 119 bytes, encrypted 300.
MAX_KEY_BYTES = 16 * 1024
