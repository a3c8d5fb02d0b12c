// llama.cpp's tools print through a thread that they do not wait for: common/log.cpp says
// "this design may cause logs to be lost if not flushed before the program exits". On a busy
// machine the last lines, which hold the results, are then missing although the exit code
// is 0. This waits. Not on Windows, where threads are gone before a library is unloaded.
#ifndef _WIN32

#include "log.h"

namespace {

struct wait_for_log {
    ~wait_for_log() { common_log_pause(common_log_main()); }
};

const wait_for_log at_exit;

} // namespace

#endif
