/**
 * Installs what tests would be skipped for where CI runs on a Debian as root: Open MPI and MPICH, a compiler for 64-bit
 * ARM and an emulator of such processors. Elsewhere, tests that need them report what is missing.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** By a program of each. */
const PACKAGES = {
  '/usr/bin/mpirun.openmpi': 'openmpi-bin',
  '/usr/bin/mpirun.mpich': 'mpich',
  '/usr/bin/aarch64-linux-gnu-g++': 'g++-aarch64-linux-gnu',
  '/usr/bin/qemu-aarch64': 'qemu-user',
};

/** @throws where apt-get fails, with its last words. */
export function installPackages() {
  const missing = Object.entries(PACKAGES).filter(([program]) => !existsSync(program));
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0 || !existsSync('/etc/debian_version')) return;
  const names = missing.map(([, name]) => name);
  console.error(`Installing ${names.join(', ')} …`);
  apt('update');
  apt('install', '--yes', '--no-install-recommends', ...names);
}

function apt(...args) {
  // Another installation may be at work.
  const options = ['-o', 'DPkg::Lock::Timeout=300', '--quiet=2'];
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const { status, stderr, error } = spawnSync('apt-get', [...options, ...args], { env, encoding: 'utf8' });
  if (status === 0) return;
  throw new Error(
    `apt-get ${args[0]} failed: ${error?.message ?? stderr.trim().split('\n').slice(-3).join('\n')}`,
  );
}
