import os

# Before anybody imports NumPy: nothing here multiplies matrices, and threads for it cost each process a tenth of a
# second of CPU time at its start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
