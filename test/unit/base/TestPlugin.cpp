extern "C" int titanTestPluginAnswer() { return 42; }
