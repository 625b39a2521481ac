# Reference pages that mlir-tblgen renders from the .td files, and tools from what they know.
#
# titan_generate_docs(PAGE x.md SOURCE dialects/x.td OPTIONS -gen-... [TITLE "..."]): one page. PAGE is a
# path below build/docs and, committed, below docs/generated. TITLE is for what mlir-tblgen gives none.
#
# titan_generate_docs_by(TOOL titan-x PAGE x.md [OPTIONS ...]): one page or drawing, what the tool prints.
#
# titan_add_docs_targets(), after the last page:
#   generate-docs   renders the pages and copies them into docs/generated
#   check-docs      renders them and fails when docs/generated differs, naming the pages

find_program(TITAN_MLIR_TBLGEN NAMES mlir-tblgen-22 mlir-tblgen
             HINTS "${LLVM_TOOLS_BINARY_DIR}" REQUIRED)

function(titan_generate_docs)
  cmake_parse_arguments(ARG "" "PAGE;SOURCE;TITLE" "OPTIONS" ${ARGN})
  set(page "${CMAKE_BINARY_DIR}/docs/${ARG_PAGE}")
  get_filename_component(folder "${page}" DIRECTORY)
  file(MAKE_DIRECTORY "${folder}")
  file(CONFIGURE OUTPUT "${page}.title" CONTENT "")
  if(ARG_TITLE)
    file(CONFIGURE OUTPUT "${page}.title" CONTENT "# ${ARG_TITLE}\n\n")
  endif()
  # The depfile names the .td files that SOURCE includes.
  add_custom_command(
    OUTPUT "${page}.body"
    COMMAND "${TITAN_MLIR_TBLGEN}" ${ARG_OPTIONS} -I "${CMAKE_SOURCE_DIR}" -I "${MLIR_INCLUDE_DIRS}"
            "${CMAKE_SOURCE_DIR}/${ARG_SOURCE}" -o "${page}.body" -d "${page}.d"
    DEPENDS "${CMAKE_SOURCE_DIR}/${ARG_SOURCE}"
    DEPFILE "${page}.d"
    COMMENT "Rendering docs/generated/${ARG_PAGE}"
    VERBATIM)
  add_custom_command(
    OUTPUT "${page}"
    COMMAND "${CMAKE_COMMAND}" -E cat "${page}.title" "${page}.body" > "${page}"
    DEPENDS "${page}.title" "${page}.body"
    COMMENT "Titling docs/generated/${ARG_PAGE}"
    VERBATIM)
  set_property(GLOBAL APPEND PROPERTY TITAN_DOCS_PAGES "${ARG_PAGE}")
endfunction()

function(titan_generate_docs_by)
  cmake_parse_arguments(ARG "" "TOOL;PAGE" "OPTIONS" ${ARGN})
  set(page "${CMAKE_BINARY_DIR}/docs/${ARG_PAGE}")
  get_filename_component(folder "${page}" DIRECTORY)
  file(MAKE_DIRECTORY "${folder}")
  add_custom_command(
    OUTPUT "${page}"
    COMMAND ${ARG_TOOL} ${ARG_OPTIONS} > "${page}"
    DEPENDS ${ARG_TOOL}
    COMMENT "Rendering docs/generated/${ARG_PAGE}"
    VERBATIM)
  set_property(GLOBAL APPEND PROPERTY TITAN_DOCS_PAGES "${ARG_PAGE}")
endfunction()

function(titan_add_docs_targets)
  get_property(pages GLOBAL PROPERTY TITAN_DOCS_PAGES)
  list(TRANSFORM pages PREPEND "${CMAKE_BINARY_DIR}/docs/" OUTPUT_VARIABLE outputs)
  add_custom_target(titan-docs DEPENDS ${outputs})
  foreach(action generate check)
    add_custom_target(${action}-docs
      COMMAND "${CMAKE_COMMAND}" "-DACTION=${action}" "-DPAGES=${pages}"
              "-DRENDERED=${CMAKE_BINARY_DIR}/docs" "-DCOMMITTED=${CMAKE_SOURCE_DIR}/docs/generated"
              -P "${CMAKE_SOURCE_DIR}/cmake/CompareDocs.cmake"
      COMMENT "${action} docs/generated"
      VERBATIM)
    add_dependencies(${action}-docs titan-docs)
  endforeach()
endfunction()
