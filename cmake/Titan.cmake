# Helpers that every folder's CMakeLists.txt uses.

add_compile_options(-Wall -Wextra -Wno-unused-parameter -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # What g++ 12 finds in sound code: GoogleTest's macros behind an if, members that have default
  # initializers, LLVM's style of returning an error, Clang's pragmas, and std::string's own memcpy.
  add_compile_options(-Wno-dangling-else -Wno-missing-field-initializers -Wno-redundant-move
                      -Wno-unknown-pragmas -Wno-restrict)
elseif(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # Lets ccache reuse a precompiled header: its content counts, not its time.
  add_compile_options("SHELL:-Xclang -fno-pch-timestamp")
endif()
if(TITAN_LINKER)
  add_link_options("--ld-path=${TITAN_LINKER}")
endif()
if(TITAN_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined
                      -fno-sanitize=vptr)
  add_link_options(-fsanitize=address,undefined)
  # Into every binary: they also run while Titan is built, and by hand.
  add_library(titan_sanitizer_options OBJECT "${CMAKE_SOURCE_DIR}/cmake/SanitizerOptions.cpp")
  link_libraries(titan_sanitizer_options)
endif()

# titan_runtime_library(NAME SOURCES a.cpp ... DEPS lib ...): a static library without LLVM or MLIR.
function(titan_runtime_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS})
endfunction()

# titan_compiler_library(NAME SOURCES ... DEPS ... TABLEGEN target ...): a static library that
# includes MLIR; it shares the precompiled header.
function(titan_compiler_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;TABLEGEN" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_include_directories(${name} SYSTEM PUBLIC ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
  target_link_libraries(${name} PUBLIC ${ARG_DEPS} MLIR LLVM)
  if(ARG_TABLEGEN)
    add_dependencies(${name} ${ARG_TABLEGEN})
  endif()
  if(TITAN_PCH)
    target_precompile_headers(${name} REUSE_FROM titan_pch)
  endif()
endfunction()

# titan_tool(NAME SOURCES ... DEPS ... [COMPILER]): an executable in build/bin.
function(titan_tool name)
  cmake_parse_arguments(ARG "COMPILER" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
  target_link_libraries(${name} PRIVATE ${ARG_DEPS})
  if(ARG_COMPILER)
    target_include_directories(${name} SYSTEM PRIVATE ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
    target_link_libraries(${name} PRIVATE MLIR LLVM)
  endif()
endfunction()

# titan_unit_test(NAME SOURCES ... DEPS ... [COMPILER]): a GoogleTest binary in build/test/unit,
# where lit finds it by its name, which must end in Tests.
function(titan_unit_test name)
  cmake_parse_arguments(ARG "COMPILER" "" "SOURCES;DEPS" ${ARGN})
  if(NOT name MATCHES "Tests$")
    message(FATAL_ERROR "the name of a unit test ends in Tests, found '${name}'")
  endif()
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/test/unit")
  target_link_libraries(${name} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gtest_main)
  if(ARG_COMPILER)
    target_include_directories(${name} SYSTEM PRIVATE ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})
    target_link_libraries(${name} PRIVATE MLIR LLVM)
  endif()
  add_dependencies(titan-unit-tests ${name})
endfunction()

add_custom_target(titan-unit-tests)
