"""The tests; helpers that several of them share are in support/.

As livebach itself does, they use one thread of OpenBLAS. Two threads on a busy machine wait for each other.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported
