"""The GPU through PyCUDA: context, streams, events, pinned memory, graphs. Nothing else touches CUDA.

Device       the primary context of one GPU, pushed for as long as a thread uses it
Buffers      the memory one batch of images comes and goes through
Graph        work recorded once and sent off again with one call
Slot         buffers and events of one batch in flight
FitKernels   a frame shrunk for the network and its residual applied, as kernels
FrameLayout  how a frame lies in memory: RGB, or planes
FrameSlot    a slot for frames of full size, around another one's network

PyCUDA is imported when a device is opened, so that everything else works where it is missing.
"""
