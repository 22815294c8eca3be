// The C functions of MPI that we call, in the two binary interfaces that there are. No header of MPI is needed.
//
// MPI's standard names functions and leaves to each library what a handle is:
//   Open MPI 4, 5: pointers to objects, the constants among them exported by the library (`ompi_mpi_comm_world`);
//   MPICH and what keeps its interface (Intel MPI, MVAPICH, Cray MPICH, ParaStation): numbers fixed in its header.
#pragma once
#include <cstdint>

namespace spinquant::mpi {

/// MPI_THREAD_FUNNELED has this value in both: all calls come from the thread that initialized.
constexpr int kThreadFunneled = 1;
constexpr int kSuccess = 0;
/// MPI_MAX_LIBRARY_VERSION_STRING: 8192 in MPICH, 256 in Open MPI.
constexpr int kMaxVersion = 8192;

/// Open MPI: a constant is the address of a symbol.
struct OpenMpiAbi {
  using Comm = void*;
  using Datatype = void*;
  using Request = void*;
  static constexpr const char* kMark = "ompi_mpi_comm_world";
  static constexpr const char* kName = "Open MPI";
  static constexpr int kAnySource = -1;
  template <class Find>
  static Comm world(Find find) { return find("ompi_mpi_comm_world"); }
  template <class Find>
  static Datatype byte(Find find) { return find("ompi_mpi_byte"); }
  static void* ignored_status() { return nullptr; }
};

/// MPICH: a constant is a number.
struct MpichAbi {
  using Comm = int;
  using Datatype = int;
  using Request = int;
  static constexpr const char* kMark = "MPIR_Dup_fn";
  static constexpr const char* kName = "MPICH";
  static constexpr int kAnySource = -2;
  template <class Find>
  static Comm world(Find) { return 0x44000000; }
  template <class Find>
  static Datatype byte(Find) { return 0x4c00010d; }
  static void* ignored_status() { return reinterpret_cast<void*>(static_cast<intptr_t>(1)); }
};

}  // namespace spinquant::mpi
