# cmake -DTEXT=FILE -P QuoteText.cmake: writes FILE.inc, a C++ string literal of FILE's text.
file(READ "${TEXT}" text)
file(WRITE "${TEXT}.inc" "R\"titan(${text})titan\"\n")
