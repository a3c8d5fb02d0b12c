# Builds upstream's examples/embedding alone, with the libraries that the build has made (BUILT).
cmake_minimum_required(VERSION 3.18)
project(llama-embedding CXX)

add_executable(llama-embedding examples/embedding/embedding.cpp)
target_compile_features(llama-embedding PRIVATE cxx_std_17)
target_include_directories(llama-embedding PRIVATE common include ggml/include vendor)
foreach(name llama-common llama ggml ggml-base)
  find_library(FOUND_${name} ${name} PATHS ${BUILT} NO_DEFAULT_PATH REQUIRED)
  target_link_libraries(llama-embedding PRIVATE ${FOUND_${name}})
endforeach()
