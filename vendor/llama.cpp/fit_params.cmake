# Builds upstream's tools/fit-params alone, with the libraries that the build has made (BUILT).
cmake_minimum_required(VERSION 3.18)
project(llama-fit-params CXX)

add_executable(llama-fit-params tools/fit-params/main.cpp tools/fit-params/fit-params.cpp)
target_compile_features(llama-fit-params PRIVATE cxx_std_17)
target_include_directories(llama-fit-params PRIVATE common include ggml/include vendor tools/fit-params)
foreach(name llama-common llama ggml ggml-base)
  find_library(FOUND_${name} ${name} PATHS ${BUILT} NO_DEFAULT_PATH REQUIRED)
  target_link_libraries(llama-fit-params PRIVATE ${FOUND_${name}})
endforeach()
