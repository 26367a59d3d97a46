// What Python calls and asks: an entry and a description of each kernel, made from its C++ type.
#pragma once

namespace emulator {
template <class T> struct Element { static constexpr const char* code = "?"; };
#define EMULATOR_ELEMENT(T, name) template <> struct Element<T> { static constexpr const char* code = name; };
EMULATOR_ELEMENT(float, "float32") EMULATOR_ELEMENT(double, "float64") EMULATOR_ELEMENT(bool, "bool")
EMULATOR_ELEMENT(int, "int32") EMULATOR_ELEMENT(unsigned, "uint32") EMULATOR_ELEMENT(short, "int16")
EMULATOR_ELEMENT(unsigned short, "uint16") EMULATOR_ELEMENT(char, "int8") EMULATOR_ELEMENT(signed char, "int8")
EMULATOR_ELEMENT(unsigned char, "uint8") EMULATOR_ELEMENT(long long, "int64") EMULATOR_ELEMENT(long, "int64")
EMULATOR_ELEMENT(unsigned long long, "uint64") EMULATOR_ELEMENT(unsigned long, "uint64")
EMULATOR_ELEMENT(__half, "float16") EMULATOR_ELEMENT(__nv_bfloat16, "bfloat16")
EMULATOR_ELEMENT(__half2, "float16 2") EMULATOR_ELEMENT(__nv_bfloat162, "bfloat16 2")
EMULATOR_ELEMENT(float2, "float32 2") EMULATOR_ELEMENT(float4, "float32 4")
EMULATOR_ELEMENT(double2, "float64 2") EMULATOR_ELEMENT(int2, "int32 2") EMULATOR_ELEMENT(int4, "int32 4")
EMULATOR_ELEMENT(uint2, "uint32 2") EMULATOR_ELEMENT(uint4, "uint32 4") EMULATOR_ELEMENT(short2, "int16 2")
EMULATOR_ELEMENT(short4, "int16 4") EMULATOR_ELEMENT(ushort2, "uint16 2") EMULATOR_ELEMENT(ushort4, "uint16 4")
EMULATOR_ELEMENT(char4, "int8 4") EMULATOR_ELEMENT(uchar4, "uint8 4") EMULATOR_ELEMENT(void, "void")

template <class T> struct Parameter {
  static void describe(char* text) { sprintf(text, "value - %zu %s\n", sizeof(T), Element<T>::code); }
};
template <class T> struct Parameter<T*> {
  static void describe(char* text) { sprintf(text, "array - %zu %s\n", alignof(T), Element<T>::code); }
};
template <class T> struct Parameter<const T*> {
  static void describe(char* text) { sprintf(text, "array const %zu %s\n", alignof(T), Element<T>::code); }
};
template <> struct Parameter<void*> {
  static void describe(char* text) { sprintf(text, "array - 1 void\n"); }
};
template <> struct Parameter<const void*> {
  static void describe(char* text) { sprintf(text, "array const 1 void\n"); }
};

template <class... P> EMULATOR_UNWATCHED const char* describe(void (*)(P...), char* text) {
  char* end = text;
  ((Parameter<P>::describe(end), end += strlen(end)), ...);
  return text;
}
template <size_t... I> struct Sequence {};
template <size_t N, size_t... I> struct Count : Count<N - 1, N - 1, I...> {};
template <size_t... I> struct Count<0, I...> { typedef Sequence<I...> type; };

template <class... P, size_t... I>
EMULATOR_UNWATCHED inline __attribute__((always_inline)) void call(void (*kernel)(P...), void** values, Sequence<I...>) {
  kernel(*(P*)values[I]...);
}
template <class... P>
EMULATOR_UNWATCHED inline __attribute__((always_inline)) void call(void (*kernel)(P...), void** values) {
  call(kernel, values, typename Count<sizeof...(P)>::type());
}
}  // namespace emulator

#define EMULATOR_KERNEL(name, ...) \
  extern "C" EMULATOR_UNWATCHED void emulator_entry_##name(void** values) { emulator::call(&name, values); } \
  extern "C" EMULATOR_UNWATCHED const char* emulator_parameters_##name() { \
    static char text[8192]; \
    return emulator::describe(&name, text); \
  } \
  extern "C" EMULATOR_UNWATCHED int emulator_bounds_##name() { \
    const int bounds[] = {0, ##__VA_ARGS__}; \
    return sizeof bounds > sizeof(int) ? bounds[1] : 0; \
  }
