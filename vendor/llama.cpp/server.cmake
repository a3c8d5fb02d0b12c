# Builds upstream's tools/server alone, with the libraries that the build has made (BUILT).
# Its web page is left out: npm would have to make it, or a server to give it.
cmake_minimum_required(VERSION 3.18)
project(llama-server C CXX)

set(LLAMA_SOURCE_DIR ${CMAKE_SOURCE_DIR})
set(UI ${CMAKE_BINARY_DIR}/ui)
add_custom_command(OUTPUT ${UI}/ui.cpp ${UI}/ui.h
  COMMAND ${CMAKE_COMMAND} -DUI_SOURCE_DIR=${CMAKE_SOURCE_DIR}/tools/ui -DUI_BINARY_DIR=${UI}
    -DLLAMA_SOURCE_DIR=${CMAKE_SOURCE_DIR} -DHF_ENABLED=OFF -DBUILD_UI=OFF -DLLAMA_UI_GZIP=OFF
    -P ${CMAKE_SOURCE_DIR}/scripts/ui-assets.cmake)

file(GLOB SERVER tools/server/*.cpp)
file(GLOB MULTIMODAL tools/mtmd/mtmd*.cpp tools/mtmd/clip.cpp tools/mtmd/models/*.cpp)
list(FILTER MULTIMODAL EXCLUDE REGEX mtmd-cli)
set(HASHES vendor/hash/xxhash/xxhash.c vendor/hash/sha1/sha1.c vendor/hash/sha256/sha256.c)
set_source_files_properties(vendor/hash/sha1/sha1.c PROPERTIES LANGUAGE CXX)
add_executable(llama-server ${SERVER} ${MULTIMODAL} vendor/hash/hash.cpp ${HASHES}
  vendor/cpp-httplib/httplib.cpp ${UI}/ui.cpp)
target_compile_features(llama-server PRIVATE cxx_std_17)
target_compile_definitions(llama-server PRIVATE
  CPPHTTPLIB_FORM_URL_ENCODED_PAYLOAD_MAX_LENGTH=1048576 CPPHTTPLIB_LISTEN_BACKLOG=512
  CPPHTTPLIB_REQUEST_URI_MAX_LENGTH=32768 CPPHTTPLIB_TCP_NODELAY=1)
target_include_directories(llama-server PRIVATE ${UI} . common include ggml/include vendor
  vendor/hash tools/mtmd tools/server)
foreach(name llama-common llama ggml ggml-base)
  find_library(FOUND_${name} ${name} PATHS ${BUILT} NO_DEFAULT_PATH REQUIRED)
  target_link_libraries(llama-server PRIVATE ${FOUND_${name}})
endforeach()
find_package(Threads REQUIRED)
target_link_libraries(llama-server PRIVATE Threads::Threads)
if(WIN32)
  target_link_libraries(llama-server PRIVATE ws2_32)
endif()
