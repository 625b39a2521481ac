#include "runtime/base/Status.h"

namespace titan {

const char *toString(StatusCode code) {
  switch (code) {
  case StatusCode::ok:
    return "ok";
  case StatusCode::invalidArgument:
    return "invalid argument";
  case StatusCode::notFound:
    return "not found";
  case StatusCode::dataLoss:
    return "data loss";
  case StatusCode::unavailable:
    return "unavailable";
  case StatusCode::deadlineExceeded:
    return "deadline exceeded";
  case StatusCode::cancelled:
    return "cancelled";
  case StatusCode::internal:
    return "internal error";
  case StatusCode::killed:
    return "killed";
  }
  return "unknown";
}

const std::string &Status::message() const {
  static const std::string empty;
  return state ? state->message : empty;
}

Status Status::withContext(const std::string &context) const {
  return ok() ? Status() : Status(code(), context + ": " + message());
}

Status invalidArgument(std::string message) {
  return {StatusCode::invalidArgument, std::move(message)};
}
Status notFound(std::string message) { return {StatusCode::notFound, std::move(message)}; }
Status dataLoss(std::string message) { return {StatusCode::dataLoss, std::move(message)}; }
Status unavailable(std::string message) { return {StatusCode::unavailable, std::move(message)}; }
Status internalError(std::string message) { return {StatusCode::internal, std::move(message)}; }

} // namespace titan
