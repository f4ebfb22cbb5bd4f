import os

# Set before NumPy is imported: nothing here multiplies matrices, and OpenBLAS threads cost each process 0.1 s of CPU
# time at start.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
