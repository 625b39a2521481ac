# Run with cmake -P by the targets of GeneratedDocs.cmake.
#   ACTION     generate: makes COMMITTED hold exactly PAGES; check: fails unless it does
#   PAGES      paths of the pages below both folders
#   RENDERED   the folder with the new pages
#   COMMITTED  docs/generated

cmake_minimum_required(VERSION 3.25)

file(GLOB_RECURSE committed RELATIVE "${COMMITTED}" "${COMMITTED}/*.md" "${COMMITTED}/*.svg")
set(wrong "")
foreach(page IN LISTS PAGES)
  execute_process(COMMAND "${CMAKE_COMMAND}" -E compare_files "${RENDERED}/${page}" "${COMMITTED}/${page}"
                  RESULT_VARIABLE differs OUTPUT_QUIET ERROR_QUIET)
  if(differs AND ACTION STREQUAL "generate")
    configure_file("${RENDERED}/${page}" "${COMMITTED}/${page}" COPYONLY)
    message(STATUS "wrote ${COMMITTED}/${page}")
  elseif(NOT page IN_LIST committed)
    list(APPEND wrong "${page} is missing")
  elseif(differs)
    list(APPEND wrong "${page} is not what the sources say now")
  endif()
endforeach()
foreach(page IN LISTS committed)
  if(page IN_LIST PAGES)
    continue()
  elseif(ACTION STREQUAL "generate")
    file(REMOVE "${COMMITTED}/${page}")
    message(STATUS "removed ${COMMITTED}/${page}")
  else()
    list(APPEND wrong "${page} is rendered no more")
  endif()
endforeach()

if(ACTION STREQUAL "check" AND wrong)
  list(JOIN wrong "\n  " wrong)
  message(FATAL_ERROR "docs/generated is out of date:\n  ${wrong}\n"
                      "run cmake --build build --target generate-docs, and commit the result")
endif()
