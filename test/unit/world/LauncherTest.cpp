#include "runtime/world/Launcher.h"
