# Given as CMAKE_PROJECT_llama.cpp_INCLUDE: adds flush_log.cpp to the library with the log,
# once upstream's own CMakeLists.txt has made it.
set(ORCHESTRATE_FLUSH_LOG ${CMAKE_CURRENT_LIST_DIR}/flush_log.cpp)
cmake_language(DEFER CALL target_sources llama-common PRIVATE ${ORCHESTRATE_FLUSH_LOG})
