// A reference to a callable: two words, no allocation, no ownership.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

namespace titan {

template <typename Signature> class FunctionRef;

/// Refers to a callable that outlives it; made for parameters, where the callable is a lambda of
/// the calling expression. Never keep one beyond the call that received it.
template <typename Result, typename... Arguments> class FunctionRef<Result(Arguments...)> {
public:
  template <typename Callable,
            std::enable_if_t<!std::is_same_v<std::remove_cvref_t<Callable>, FunctionRef> &&
                                 std::is_invocable_r_v<Result, Callable &, Arguments...>,
                             int> = 0>
  FunctionRef(Callable &&callable)
      : object(const_cast<void *>(static_cast<const void *>(std::addressof(callable)))),
        invoke([](void *object, Arguments... arguments) -> Result {
          return (*static_cast<std::remove_reference_t<Callable> *>(object))(
              std::forward<Arguments>(arguments)...);
        }) {}

  Result operator()(Arguments... arguments) const {
    return invoke(object, std::forward<Arguments>(arguments)...);
  }

private:
  void *object;
  Result (*invoke)(void *, Arguments...);
};

} // namespace titan
