# Takes the place of upstream's file of this name, which asks git for the commit: a source
# tree out of an archive has no .git, and git would answer with whatever surrounds it.
set(BUILD_NUMBER 0)
set(BUILD_COMMIT "604b8bd")
configure_file(
    "${CMAKE_CURRENT_SOURCE_DIR}/scripts/build-info.h.in"
    "${CMAKE_CURRENT_SOURCE_DIR}/build-info.h"
)
