# Builds upstream's tests/test-chat-template alone, with the libraries that the build has made (BUILT).
cmake_minimum_required(VERSION 3.18)
project(test-chat-template CXX)

add_executable(test-chat-template tests/test-chat-template.cpp)
target_compile_features(test-chat-template PRIVATE cxx_std_17)
target_include_directories(test-chat-template PRIVATE common include ggml/include vendor)
foreach(name llama-common llama ggml ggml-base)
  find_library(FOUND_${name} ${name} PATHS ${BUILT} NO_DEFAULT_PATH REQUIRED)
  target_link_libraries(test-chat-template PRIVATE ${FOUND_${name}})
endforeach()
