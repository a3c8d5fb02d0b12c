# Hands out upstream's converter of LoRA adapters, which the build's own sources lack.
cmake_minimum_required(VERSION 3.18)
project(convert_lora NONE)

add_custom_target(convert_lora_to_gguf
  COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_SOURCE_DIR}/convert_lora_to_gguf.py ${CMAKE_BINARY_DIR}
  VERBATIM)
