#include "runtime/device/cuda/Cudnn.h"

#include "runtime/device/cuda/LibrarySearch.h"

namespace titan::cuda {

StatusOr<std::unique_ptr<Cudnn>> Cudnn::open(const std::string &name) {
  const std::string names[] = {name.empty() ? kDnnLibrary : name};
  auto opened = openCudaLibrary(names, "cudnn");
  if (!opened.ok())
    return opened.status().withContext("cuDNN 9.6 or newer is missing");
  std::unique_ptr<Cudnn> library(new Cudnn(*std::move(opened)));
  TITAN_RETURN_IF_ERROR(library->resolve());
  TITAN_RETURN_IF_ERROR(checkLibraryVersion("cuDNN", library->version(), kOldestDnn));
  return library;
}

Status Cudnn::resolve() {
#define TITAN_CUDNN(result, name, parameters)                                                      \
  {                                                                                                \
    TITAN_ASSIGN_OR_RETURN(name, library.function<result parameters>(#name));                      \
  }
#include "runtime/device/cuda/CudnnFunctions.def"
#undef TITAN_CUDNN
  return okStatus();
}

std::string Cudnn::describeVersion() const { return libraryVersion(version()); }

Status Cudnn::check(int status, const char *what) const {
  if (status == kDnnSuccess)
    return okStatus();
  char text[512] = {};
  cudnnGetLastErrorString(text, sizeof(text) - 1);
  return internalError(std::string(what) + ": " + cudnnGetErrorString(status) + " (" +
                       std::to_string(status) + ")" + (text[0] ? ": " + std::string(text) : ""));
}

DnnObject::DnnObject(const Cudnn &library, int type) : library(library) {
  status = library.check(library.cudnnBackendCreateDescriptor(type, &descriptor),
                         "cudnnBackendCreateDescriptor");
}

DnnObject::~DnnObject() {
  if (descriptor)
    library.cudnnBackendDestroyDescriptor(descriptor);
}

DnnObject &DnnObject::setRaw(int attribute, int type, int64_t count, const void *values) {
  if (status.ok())
    status =
        library
            .check(library.cudnnBackendSetAttribute(descriptor, attribute, type, count, values),
                   "cudnnBackendSetAttribute")
            .withContext("attribute " + std::to_string(attribute));
  return *this;
}

Status DnnObject::finalize() {
  if (status.ok())
    status = library.check(library.cudnnBackendFinalize(descriptor), "cudnnBackendFinalize");
  return status;
}

} // namespace titan::cuda
