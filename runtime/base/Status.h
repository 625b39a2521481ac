// Status and StatusOr: how every library of Titan reports failure.
//
// Libraries never print, exit or throw across a boundary: they return a Status with a code and a
// message. A message is lower case, has no full stop, and names the option or place, the value
// found, the rule, and a legal value.
#pragma once

#include <cassert>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace titan {

enum class StatusCode {
  ok,
  invalidArgument, ///< the caller's value is wrong: a user error
  notFound,        ///< a file or a name that does not exist
  dataLoss,        ///< a file whose contents are damaged
  unavailable,     ///< a library, device or peer that is not there now
  deadlineExceeded,
  cancelled, ///< a signal asked to stop
  internal,  ///< a bug or an operating system failure
  killed,    ///< fault injection ends this rank: its thread leaves and tells nobody
};

/// The lower-case name of a code, such as "invalid argument".
const char *toString(StatusCode code);

/// Success, or a code with a message. Success allocates nothing.
class [[nodiscard]] Status {
public:
  Status() = default;
  Status(StatusCode code, std::string message)
      : state(std::make_unique<State>(State{code, std::move(message)})) {
    assert(code != StatusCode::ok && "an ok status has no message");
  }
  Status(const Status &other) : state(other.state ? new State(*other.state) : nullptr) {}
  Status(Status &&) = default;
  Status &operator=(const Status &other) {
    state.reset(other.state ? new State(*other.state) : nullptr);
    return *this;
  }
  Status &operator=(Status &&) = default;

  bool ok() const { return !state; }
  StatusCode code() const { return state ? state->code : StatusCode::ok; }
  const std::string &message() const;

  /// The same failure with `context + ": "` before its message; success stays success.
  Status withContext(const std::string &context) const;

private:
  struct State {
    StatusCode code;
    std::string message;
  };
  std::unique_ptr<State> state;
};

inline Status okStatus() { return {}; }
Status invalidArgument(std::string message);
Status notFound(std::string message);
Status dataLoss(std::string message);
Status unavailable(std::string message);
Status internalError(std::string message);

/// A value, or the Status that says why there is none.
template <typename T> class [[nodiscard]] StatusOr {
public:
  StatusOr(Status status) : failure(std::move(status)) {
    assert(!failure.ok() && "an ok StatusOr needs a value");
  }
  StatusOr(T value) : result(std::move(value)) {}

  bool ok() const { return result.has_value(); }
  const Status &status() const { return failure; }
  T &operator*() & { return *result; }
  const T &operator*() const & { return *result; }
  T &&operator*() && { return std::move(*result); }
  T *operator->() { return &*result; }
  const T *operator->() const { return &*result; }

private:
  std::optional<T> result;
  Status failure;
};

} // namespace titan

/// Returns from the calling function when `expression` is a failed Status.
#define TITAN_RETURN_IF_ERROR(expression)                                                          \
  do {                                                                                             \
    if (::titan::Status titanStatus = (expression); !titanStatus.ok())                             \
      return titanStatus;                                                                          \
  } while (false)

#define TITAN_CONCAT_IMPL(a, b) a##b
#define TITAN_CONCAT(a, b) TITAN_CONCAT_IMPL(a, b)

/// `TITAN_ASSIGN_OR_RETURN(auto x, f())`: x is the value of f(), or the function returns its
/// Status.
#define TITAN_ASSIGN_OR_RETURN(declaration, expression)                                            \
  auto TITAN_CONCAT(titanResult, __LINE__) = (expression);                                         \
  if (!TITAN_CONCAT(titanResult, __LINE__).ok())                                                   \
    return TITAN_CONCAT(titanResult, __LINE__).status();                                           \
  declaration = *std::move(TITAN_CONCAT(titanResult, __LINE__))
