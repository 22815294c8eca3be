// A mapped file that was truncated, or whose disk failed, is found out by a fault in the middle of a computation. Where
// the system's handler would end the process without a word, this one says which file it was.
#pragma once
#include <cstddef>
#include <string>

namespace spinquant {

/// The process ends with this code where a mapped file was lost (EX_IOERR of sysexits.h).
/// src/protocol/exit-codes.ts has the same.
constexpr int kLostFileExit = 74;

/// Notes that [data, data + size) is the file at the path. The first call installs the handler of faults.
/// @return a place for forget_mapped; -1 where the table is full: faults there end the process as any other does.
int note_mapped(const void* data, size_t size, const std::string& path);

/// Does nothing for -1.
void forget_mapped(int place);

}  // namespace spinquant
