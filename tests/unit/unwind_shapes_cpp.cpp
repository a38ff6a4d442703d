// unwind_shapes_cpp.cpp - a shared object with exception tables: calls back from within try, catch and destructors.
#include <algorithm>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct calls_when_gone {
    std::function<void()> callback;
    ~calls_when_gone() { callback(); }
};

int deep(int depth, const std::function<void()> &callback)
{
    std::string name(static_cast<size_t>(depth) * 10 + 1, 'x');
    if (depth == 0) {
        callback();
        throw std::runtime_error(name);
    }
    try {
        return deep(depth - 1, callback) + static_cast<int>(name.size());
    } catch (const std::logic_error &) {
        return 0;
    }
}

} // namespace

extern "C" void shapes_cpp(int depth, void (*callback)())
{
    std::vector<int> numbers{3, 1, 2};
    bool done = false;
    std::sort(numbers.begin(), numbers.end(), [&](int a, int b) {
        if (!done)
            callback();
        done = true;
        return a < b;
    });
    try {
        calls_when_gone guard{callback}; // runs during the unwinding of the exception
        deep(depth, callback);
    } catch (const std::exception &) {
        callback();
    }
}
