# Builds upstream's examples/embedding alone, with the libraries that the build has made (BUILT).
cmake_minimum_required(VERSION 3.18)
project(llama-embedding CXX)

# It hands each number to the log's thread by itself. Where the log's queue is full when the program
# ends, common_log::pause waits for ever: its last entry makes the full queue an empty one. So what
# is logged here is written at once; the program's own function goes before the library's.
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/log_at_once.cpp [=[
#include "ggml.h"

#include <cstdarg>
#include <cstdio>

struct common_log;

void common_log_add(common_log *, ggml_log_level level, const char * fmt, ...);

void common_log_add(common_log *, ggml_log_level level, const char * fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vfprintf(static_cast<int>(level) == 0 ? stdout : stderr, fmt, args);
    va_end(args);
}
]=])

add_executable(llama-embedding examples/embedding/embedding.cpp
    ${CMAKE_CURRENT_BINARY_DIR}/log_at_once.cpp)
target_compile_features(llama-embedding PRIVATE cxx_std_17)
target_include_directories(llama-embedding PRIVATE common include ggml/include vendor)
foreach(name llama-common llama ggml ggml-base)
  find_library(FOUND_${name} ${name} PATHS ${BUILT} NO_DEFAULT_PATH REQUIRED)
  target_link_libraries(llama-embedding PRIVATE ${FOUND_${name}})
endforeach()
