# Builds upstream's llama-mtmd-cli alone, with the libraries that the build has made (BUILT).
cmake_minimum_required(VERSION 3.18)
project(llama-mtmd-cli C CXX)

file(GLOB SOURCES tools/mtmd/mtmd*.cpp tools/mtmd/clip.cpp tools/mtmd/models/*.cpp)
set(HASHES vendor/hash/xxhash/xxhash.c vendor/hash/sha1/sha1.c vendor/hash/sha256/sha256.c)
set_source_files_properties(vendor/hash/sha1/sha1.c PROPERTIES LANGUAGE CXX)
add_executable(llama-mtmd-cli ${SOURCES} vendor/hash/hash.cpp ${HASHES})
target_compile_features(llama-mtmd-cli PRIVATE cxx_std_17)
target_include_directories(llama-mtmd-cli PRIVATE . common include ggml/include vendor vendor/hash
  tools/mtmd)
foreach(name llama-common llama ggml ggml-base)
  find_library(FOUND_${name} ${name} PATHS ${BUILT} NO_DEFAULT_PATH REQUIRED)
  target_link_libraries(llama-mtmd-cli PRIVATE ${FOUND_${name}})
endforeach()
find_package(Threads REQUIRED)
target_link_libraries(llama-mtmd-cli PRIVATE Threads::Threads)
