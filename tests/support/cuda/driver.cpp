// A CUDA driver in host memory, for tests: libcuda.so.1 with one GPU that is no GPU.
//
// Device memory is host memory. What is put on a stream is queued and runs as late as the driver's promises
// allow: when the host waits for it, or when another stream that the host waits for waits for it. A program
// that forgets a wait, or writes to a buffer that is still to be copied, gets wrong bytes here every time and
// not once a week. Other schedules run copies, or kernels, as early as is allowed (`stand_in_schedule`).
//
// It is stricter than a GPU where a program of ours has no reason to go: no default stream, no blocking streams,
// no copies from or to memory that is not pinned, no call that needs a context without one, no waiting for or
// allocating anything while the same thread captures a graph. Every function that PyCUDA asks for and that is
// not here answers "not supported".
#include <cuda.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))

extern "C" int twin_run(const char *name, const unsigned grid[3], const unsigned block[3], const char *arguments);

namespace {

enum class Kind { copy, kernel, record, wait };
enum Schedule { late, copies_early, kernels_early, at_once };

struct Stream;

struct Event {
    Stream *recorded_on = nullptr;
    long recorded = 0;  // how many times it was put on a stream
    long reached = 0;   // the last of those that was reached
};

struct Operation {
    Kind kind;
    std::function<void()> body;
    Event *event = nullptr;
    long mark = 0;  // which recording of the event is reached, or waited for
};

struct Stream {
    std::deque<Operation> queue;  // the first one stays here until it has run
    bool running = false;
    bool capturing = false;
    bool spoiled = false;  // a forbidden call was made while capturing
    std::thread::id captured_by;
    std::vector<Operation> captured;
};

struct Graph {
    std::vector<Operation> operations;
};

struct Block {
    size_t bytes;
    bool mapped;
};

struct Context {};

struct Function {
    void *module;
    std::string name;
};

// Compiled code; what runs in its place is the same source compiled for this machine.
struct Module {
    std::string image;
    std::map<std::string, Function> functions;
};

using Lock = std::unique_lock<std::mutex>;

std::mutex driver_lock;
std::condition_variable operation_ran;
std::set<Stream *> streams;
std::map<char *, Block> device_memory, pinned_memory;
std::set<Event *> events;
std::set<void *> graphs, modules;
Context primary;
long retained = 0;
thread_local std::vector<Context *> current;

// What tests set.
Schedule schedule = late;
int integrated = 0;
int devices = 1;
std::vector<int> visible;  // numbers of those named by CUDA_VISIBLE_DEVICES
int compute_capability = 86;
size_t memory_bytes = (size_t)8 << 30;
CUresult fault = CUDA_SUCCESS;  // stays until it is taken back, as on a GPU

bool holds(const std::map<char *, Block> &memory, const void *address, size_t bytes, bool mapped_only = false) {
    auto after = memory.upper_bound((char *)address);
    if (after == memory.begin()) return false;
    auto &[start, block] = *std::prev(after);
    return (char *)address + bytes <= start + block.bytes && (block.mapped || !mapped_only);
}

bool on_device(const void *address, size_t bytes) {
    return holds(device_memory, address, bytes) || holds(pinned_memory, address, bytes, true);
}

size_t device_bytes() {
    size_t sum = 0;
    for (auto &[start, block] : device_memory) sum += block.bytes;
    return sum;
}

void reach(Event *event, long mark, Lock &held);

// Run the first operation of a stream; the lock is given up meanwhile, for a kernel may need Python's.
void run_first(Stream *stream, Lock &held) {
    stream->running = true;
    Operation operation = stream->queue.front();
    if (operation.kind == Kind::wait) reach(operation.event, operation.mark, held);
    if (operation.body) {
        held.unlock();
        operation.body();
        held.lock();
    }
    if (operation.kind == Kind::record)
        operation.event->reached = std::max(operation.event->reached, operation.mark);
    stream->queue.pop_front();
    stream->running = false;
    operation_ran.notify_all();
}

template <class Done>
void run_until(Stream *stream, Lock &held, Done done) {
    while (!done() && !stream->queue.empty()) {
        if (stream->running)
            operation_ran.wait(held);
        else
            run_first(stream, held);
    }
}

void reach(Event *event, long mark, Lock &held) {
    if (event->recorded_on) run_until(event->recorded_on, held, [&] { return event->reached >= mark; });
}

void drain(Stream *stream, Lock &held) {
    run_until(stream, held, [&] { return stream->queue.empty(); });
}

bool may_run_early(const Operation &operation) {
    switch (operation.kind) {
        case Kind::wait: return operation.event->reached >= operation.mark;
        case Kind::record: return true;
        case Kind::copy: return schedule == copies_early || schedule == at_once;
        case Kind::kernel: return schedule == kernels_early || schedule == at_once;
    }
    return false;
}

// Run what the schedule wants early, on every stream, until nothing moves.
void hurry(Lock &held) {
    if (schedule == late) return;
    for (bool moved = true; moved;) {
        moved = false;
        for (auto stream : streams)
            if (!stream->running && !stream->queue.empty() && may_run_early(stream->queue.front())) {
                run_first(stream, held);
                moved = true;
                break;  // the set may have changed
            }
    }
}

CUresult put(CUstream handle, Operation operation, Lock &held) {
    auto stream = (Stream *)handle;
    if (!streams.count(stream)) return CUDA_ERROR_INVALID_HANDLE;  // the default stream is none of ours either
    if (stream->capturing) {
        if (operation.kind == Kind::record || operation.kind == Kind::wait) {
            stream->spoiled = true;
            return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
        }
        stream->captured.push_back(std::move(operation));
        return CUDA_SUCCESS;
    }
    stream->queue.push_back(std::move(operation));
    hurry(held);
    return fault;
}

// Memory is looked up when the copy runs: it may have been freed since.
void copy(void *to, const void *from, size_t bytes, bool to_device) {
    {
        Lock held(driver_lock);
        bool there = to_device ? on_device(to, bytes) && holds(pinned_memory, from, bytes)
                               : holds(pinned_memory, to, bytes) && on_device(from, bytes);
        if (!there) {
            fault = CUDA_ERROR_ILLEGAL_ADDRESS;
            return;
        }
    }
    memcpy(to, from, bytes);
}

bool spoils_capture() {
    bool capturing = false;
    for (auto stream : streams)
        if (stream->capturing && stream->captured_by == std::this_thread::get_id())
            capturing = stream->spoiled = true;
    return capturing;
}

CUresult allocate(std::map<char *, Block> &memory, size_t bytes, bool mapped, void **address) {
    size_t aligned = (bytes + 4095) / 4096 * 4096;
    auto start = (char *)aligned_alloc(4096, aligned);
    if (!start) return CUDA_ERROR_OUT_OF_MEMORY;
    memset(start, 0xCD, aligned);
    memory[start] = {bytes, mapped};
    *address = start;
    return CUDA_SUCCESS;
}

// Freed memory is spoilt and kept, so that a late reader finds wrong bytes and does not end the tests.
CUresult release(std::map<char *, Block> &memory, void *address) {
    auto found = memory.find((char *)address);
    if (found == memory.end()) return CUDA_ERROR_INVALID_VALUE;
    memset(found->first, 0xDD, found->second.bytes);
    memory.erase(found);
    return CUDA_SUCCESS;
}

const char *words(CUresult status) {
    switch (status) {
        case CUDA_SUCCESS: return "no error";
        case CUDA_ERROR_INVALID_VALUE: return "invalid argument";
        case CUDA_ERROR_OUT_OF_MEMORY: return "out of memory";
        case CUDA_ERROR_NO_DEVICE: return "no CUDA-capable device is detected";
        case CUDA_ERROR_INVALID_DEVICE: return "invalid device ordinal";
        case CUDA_ERROR_INVALID_CONTEXT: return "invalid device context";
        case CUDA_ERROR_INVALID_HANDLE: return "invalid resource handle";
        case CUDA_ERROR_INVALID_IMAGE: return "device kernel image is invalid";
        case CUDA_ERROR_NOT_FOUND: return "named symbol not found";
        case CUDA_ERROR_ILLEGAL_ADDRESS: return "an illegal memory access was encountered";
        case CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED: return "operation not permitted when stream is capturing";
        case CUDA_ERROR_STREAM_CAPTURE_INVALIDATED: return "operation failed due to a previous error during capture";
        case CUDA_ERROR_NOT_SUPPORTED: return "operation not supported";
        default: return "unknown error";
    }
}

}  // namespace

#define NEEDS_CONTEXT \
    if (current.empty()) return CUDA_ERROR_INVALID_CONTEXT
#define NOT_WHILE_CAPTURING \
    if (spoils_capture()) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED

// ---- What tests set and ask.
API void stand_in_schedule(int wanted) { schedule = (Schedule)wanted; }
API void stand_in_integrated(int wanted) { integrated = wanted; }
API void stand_in_devices(int wanted) { devices = wanted; }
API void stand_in_memory(size_t bytes) { memory_bytes = bytes; }
API void stand_in_fault(int status) { fault = (CUresult)status; }

// How much of everything a program holds; zero of all after a clean end.
API long stand_in_held(const char *what) {
    Lock held(driver_lock);
    std::string_view name(what);
    if (name == "streams") return (long)streams.size();
    if (name == "events") return (long)events.size();
    if (name == "device memory") return (long)device_memory.size();
    if (name == "pinned memory") return (long)pinned_memory.size();
    if (name == "graphs") return (long)graphs.size();
    if (name == "modules") return (long)modules.size();
    if (name == "contexts") return retained;
    if (name == "contexts of this thread") return (long)current.size();
    return -1;
}

// ---- The device.
// Like CUDA, the stand-in shows the GPUs that CUDA_VISIBLE_DEVICES names, up to the first that is not there.
API CUresult cuInit(unsigned) {
    const char *given = getenv("VIDEOBRUSH_STAND_IN_GPUS"), *named = getenv("CUDA_VISIBLE_DEVICES");
    int there = given ? atoi(given) : 1;
    if (!visible.empty() || !named || !*named) {
        if (given && visible.empty()) devices = there;
        return devices ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
    }
    for (char *rest = (char *)named; *rest;) {
        long number = strtol(rest, &rest, 10);
        if (number < 0 || number >= there) break;
        visible.push_back((int)number);
        if (*rest == ',') rest++;
    }
    devices = (int)visible.size();
    return devices ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
}
API CUresult cuDriverGetVersion(int *version) {
    *version = CUDA_VERSION;
    return CUDA_SUCCESS;
}
API CUresult cuDeviceGetCount(int *count) {
    *count = devices;
    return CUDA_SUCCESS;
}
API CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    if (ordinal < 0 || ordinal >= devices) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}
API CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
    int number = visible.empty() ? device : visible[device];
    if (number)
        snprintf(name, length, "Stand-in GPU %d", number);
    else
        snprintf(name, length, "Stand-in GPU");
    return CUDA_SUCCESS;
}
API CUresult cuDeviceTotalMem(size_t *bytes, CUdevice) {
    *bytes = memory_bytes;
    return CUDA_SUCCESS;
}
API CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice) {
    *major = compute_capability / 10;
    *minor = compute_capability % 10;
    return CUDA_SUCCESS;
}
API CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice) {
    switch (attribute) {
        case CU_DEVICE_ATTRIBUTE_INTEGRATED: *value = integrated; break;
        case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 26; break;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = compute_capability / 10; break;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = compute_capability % 10; break;
        case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
        case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING: *value = 1; break;
        default: return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}
API CUresult cuGetErrorString(CUresult status, const char **text) {
    *text = words(status);
    return CUDA_SUCCESS;
}
// NVRTC asks for it and goes on without.
API CUresult cuGetExportTable(const void **table, const CUuuid *) {
    *table = nullptr;
    return CUDA_ERROR_NOT_SUPPORTED;
}
API CUresult cuGetErrorName(CUresult status, const char **text) { return cuGetErrorString(status, text); }

// ---- Contexts: the primary one alone; a thread has those it pushed.
API CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice) {
    Lock held(driver_lock);
    retained++;
    *context = (CUcontext)&primary;
    return CUDA_SUCCESS;
}
API CUresult cuDevicePrimaryCtxRelease(CUdevice) {
    Lock held(driver_lock);
    if (!retained) return CUDA_ERROR_INVALID_CONTEXT;
    retained--;
    return CUDA_SUCCESS;
}
API CUresult cuCtxPushCurrent(CUcontext context) {
    if ((Context *)context != &primary) return CUDA_ERROR_INVALID_CONTEXT;
    current.push_back(&primary);
    return CUDA_SUCCESS;
}
API CUresult cuCtxPopCurrent(CUcontext *context) {
    NEEDS_CONTEXT;
    if (context) *context = (CUcontext)current.back();
    current.pop_back();
    return CUDA_SUCCESS;
}
API CUresult cuCtxGetCurrent(CUcontext *context) {
    *context = current.empty() ? nullptr : (CUcontext)current.back();
    return CUDA_SUCCESS;
}
API CUresult cuCtxGetDevice(CUdevice *device) {
    NEEDS_CONTEXT;
    *device = 0;
    return CUDA_SUCCESS;
}
API CUresult cuCtxSynchronize() {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    NOT_WHILE_CAPTURING;
    auto all = streams;
    for (auto stream : all) drain(stream, held);
    return fault;
}

// ---- Memory.
API CUresult cuMemGetInfo(size_t *free_bytes, size_t *total_bytes) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    *total_bytes = memory_bytes;
    *free_bytes = memory_bytes - std::min(memory_bytes, device_bytes());
    return CUDA_SUCCESS;
}
API CUresult cuMemAlloc(CUdeviceptr *address, size_t bytes) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    NOT_WHILE_CAPTURING;
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    if (device_bytes() + bytes > memory_bytes) return CUDA_ERROR_OUT_OF_MEMORY;
    return allocate(device_memory, bytes, false, (void **)address);
}
API CUresult cuMemFree(CUdeviceptr address) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    NOT_WHILE_CAPTURING;
    return release(device_memory, (void *)address);
}
API CUresult cuMemHostAlloc(void **address, size_t bytes, unsigned flags) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    NOT_WHILE_CAPTURING;
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    return allocate(pinned_memory, bytes, flags & CU_MEMHOSTALLOC_DEVICEMAP, address);
}
API CUresult cuMemFreeHost(void *address) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    NOT_WHILE_CAPTURING;
    return release(pinned_memory, address);
}
API CUresult cuMemHostGetDevicePointer(CUdeviceptr *device, void *address, unsigned) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    if (!holds(pinned_memory, address, 1, true)) return CUDA_ERROR_INVALID_VALUE;
    *device = (CUdeviceptr)address;
    return CUDA_SUCCESS;
}
API CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    if (!on_device((void *)to, bytes) || !holds(pinned_memory, from, bytes)) return CUDA_ERROR_INVALID_VALUE;
    return put(stream, {Kind::copy, [=] { copy((void *)to, from, bytes, true); }}, held);
}
API CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    if (!on_device((void *)from, bytes) || !holds(pinned_memory, to, bytes)) return CUDA_ERROR_INVALID_VALUE;
    return put(stream, {Kind::copy, [=] { copy(to, (void *)from, bytes, false); }}, held);
}
API CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    if (!on_device((void *)to, bytes) || !on_device((void *)from, bytes)) return CUDA_ERROR_INVALID_VALUE;
    return put(stream, {Kind::kernel, [=] { memmove((void *)to, (void *)from, bytes); }}, held);
}

// ---- Streams and events.
API CUresult cuStreamCreate(CUstream *handle, unsigned flags) {
    NEEDS_CONTEXT;
    if (!(flags & CU_STREAM_NON_BLOCKING)) return CUDA_ERROR_INVALID_VALUE;
    Lock held(driver_lock);
    auto stream = new Stream;
    streams.insert(stream);
    *handle = (CUstream)stream;
    return CUDA_SUCCESS;
}
// Work that is queued goes on on a GPU; here the stream stays reachable through its events and is never freed.
API CUresult cuStreamDestroy(CUstream handle) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    return streams.erase((Stream *)handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
API CUresult cuStreamSynchronize(CUstream handle) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    NOT_WHILE_CAPTURING;
    auto stream = (Stream *)handle;
    if (!streams.count(stream)) return CUDA_ERROR_INVALID_HANDLE;
    drain(stream, held);
    return fault;
}
API CUresult cuStreamQuery(CUstream handle) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    NOT_WHILE_CAPTURING;
    auto stream = (Stream *)handle;
    if (!streams.count(stream)) return CUDA_ERROR_INVALID_HANDLE;
    if (!stream->queue.empty() && !stream->running) run_first(stream, held);
    return stream->queue.empty() ? fault : CUDA_ERROR_NOT_READY;
}
API CUresult cuStreamWaitEvent(CUstream handle, CUevent waited, unsigned) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    auto event = (Event *)waited;
    if (!events.count(event)) return CUDA_ERROR_INVALID_HANDLE;
    if (!event->recorded) return CUDA_SUCCESS;
    return put(handle, {Kind::wait, nullptr, event, event->recorded}, held);
}
API CUresult cuEventCreate(CUevent *handle, unsigned) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    auto event = new Event;
    events.insert(event);
    *handle = (CUevent)event;
    return CUDA_SUCCESS;
}
// Never freed: queued operations may name it.
API CUresult cuEventDestroy(CUevent handle) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    return events.erase((Event *)handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
API CUresult cuEventRecord(CUevent handle, CUstream stream) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    auto event = (Event *)handle;
    if (!events.count(event) || !streams.count((Stream *)stream)) return CUDA_ERROR_INVALID_HANDLE;
    if (!((Stream *)stream)->capturing) {
        event->recorded_on = (Stream *)stream;
        event->recorded++;
    }
    return put(stream, {Kind::record, nullptr, event, event->recorded}, held);
}
API CUresult cuEventSynchronize(CUevent handle) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    NOT_WHILE_CAPTURING;
    auto event = (Event *)handle;
    if (!events.count(event)) return CUDA_ERROR_INVALID_HANDLE;
    reach(event, event->recorded, held);
    return fault;
}
API CUresult cuEventQuery(CUevent handle) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    NOT_WHILE_CAPTURING;
    auto event = (Event *)handle;
    if (!events.count(event)) return CUDA_ERROR_INVALID_HANDLE;
    if (event->reached >= event->recorded) return fault;
    auto stream = event->recorded_on;
    if (!stream->queue.empty() && !stream->running) run_first(stream, held);
    return event->reached >= event->recorded ? fault : CUDA_ERROR_NOT_READY;
}

// ---- Compiled kernels: cubins, of which the names alone are read; see twin.cpp.
API CUresult cuModuleLoadDataEx(CUmodule *handle, const void *image, unsigned, CUjit_option *, void **) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    NOT_WHILE_CAPTURING;
    auto head = (const unsigned char *)image;
    if (memcmp(head, "\x7f" "ELF", 4)) return CUDA_ERROR_INVALID_IMAGE;
    uint64_t sections;  // of ELF's 64-bit head: where the table of sections begins; it comes last
    uint16_t entry_bytes, entries;
    memcpy(&sections, head + 40, 8), memcpy(&entry_bytes, head + 58, 2), memcpy(&entries, head + 60, 2);
    auto made = new Module{std::string((const char *)image, sections + entry_bytes * entries), {}};
    modules.insert(made);
    *handle = (CUmodule)made;
    return CUDA_SUCCESS;
}
API CUresult cuModuleGetFunction(CUfunction *handle, CUmodule from, const char *name) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    if (!modules.count(from)) return CUDA_ERROR_INVALID_HANDLE;
    auto module = (Module *)from;
    if (module->image.find(std::string(".text.") + name + '\0') == std::string::npos) return CUDA_ERROR_NOT_FOUND;
    *handle = (CUfunction)&(module->functions[name] = {module, name});
    return CUDA_SUCCESS;
}
// Never freed: queued operations may name it.
API CUresult cuModuleUnload(CUmodule handle) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    return modules.erase(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
// PyCUDA says it twice: the block's shape comes with every launch.
API CUresult cuFuncSetBlockShape(CUfunction, int, int, int) { return CUDA_SUCCESS; }
API CUresult cuLaunchKernel(CUfunction handle, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                            unsigned bz, unsigned, CUstream stream, void **parameters, void **extra) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    auto function = (Function *)handle;
    if (!modules.count(function->module)) return CUDA_ERROR_INVALID_HANDLE;
    if (parameters || !extra || extra[0] != CU_LAUNCH_PARAM_BUFFER_POINTER ||
        extra[2] != CU_LAUNCH_PARAM_BUFFER_SIZE)
        return CUDA_ERROR_NOT_SUPPORTED;  // not as PyCUDA does it
    if (!gx || !gy || gz != 1 || !bx || !by || bz != 1 || bx * by > 1024) return CUDA_ERROR_INVALID_VALUE;
    std::string arguments((const char *)extra[1], *(size_t *)extra[3]);
    return put(stream, {Kind::kernel, [=] {
        {
            Lock held(driver_lock);
            if (!modules.count(function->module)) fault = CUDA_ERROR_ILLEGAL_ADDRESS;
        }
        const unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
        if (!twin_run(function->name.c_str(), grid, block, arguments.data())) fault = CUDA_ERROR_NOT_FOUND;
    }}, held);
}

// ---- Kernels are functions of the host; the stand-in for TensorRT puts the network's run here.
API CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void *given) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    return put(stream, {Kind::kernel, [=] { function(given); }}, held);
}

// ---- Capture and graphs.
API CUresult cuStreamBeginCapture(CUstream handle, CUstreamCaptureMode) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    auto stream = (Stream *)handle;
    if (!streams.count(stream)) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->capturing) return CUDA_ERROR_ILLEGAL_STATE;
    stream->capturing = true;
    stream->spoiled = false;
    stream->captured_by = std::this_thread::get_id();
    stream->captured.clear();
    return CUDA_SUCCESS;
}
API CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status) {
    Lock held(driver_lock);
    auto stream = (Stream *)handle;
    if (!streams.count(stream)) return CUDA_ERROR_INVALID_HANDLE;
    *status = !stream->capturing ? CU_STREAM_CAPTURE_STATUS_NONE
              : stream->spoiled  ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                 : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
}
API CUresult cuStreamEndCapture(CUstream handle, CUgraph *graph) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    auto stream = (Stream *)handle;
    *graph = nullptr;
    if (!streams.count(stream)) return CUDA_ERROR_INVALID_HANDLE;
    if (!stream->capturing) return CUDA_ERROR_ILLEGAL_STATE;
    stream->capturing = false;
    if (stream->spoiled) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    auto made = new Graph{std::move(stream->captured)};
    stream->captured.clear();
    graphs.insert(made);
    *graph = (CUgraph)made;
    return CUDA_SUCCESS;
}
API CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    if (!graphs.count(graph)) return CUDA_ERROR_INVALID_HANDLE;
    auto made = new Graph(*(Graph *)graph);
    graphs.insert(made);
    *executable = (CUgraphExec)made;
    return CUDA_SUCCESS;
}
API CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    NEEDS_CONTEXT;
    Lock held(driver_lock);
    if (!graphs.count(executable)) return CUDA_ERROR_INVALID_HANDLE;
    for (auto &operation : std::vector<Operation>(((Graph *)executable)->operations))
        if (CUresult status = put(stream, operation, held)) return status;
    return fault;
}
API CUresult cuGraphDestroy(CUgraph graph) {
    Lock held(driver_lock);
    if (!graphs.erase(graph)) return CUDA_ERROR_INVALID_HANDLE;
    delete (Graph *)graph;
    return CUDA_SUCCESS;
}
API CUresult cuGraphExecDestroy(CUgraphExec executable) {
    Lock held(driver_lock);
    if (!graphs.erase(executable)) return CUDA_ERROR_INVALID_HANDLE;
    delete (Graph *)executable;
    return CUDA_SUCCESS;
}
