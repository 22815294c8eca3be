/** Installs Open MPI and MPICH where CI runs on a Debian as root. Elsewhere, tests that need them report what is missing. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const PACKAGES = ['openmpi-bin', 'mpich'];
const PROGRAMS = ['/usr/bin/mpirun.openmpi', '/usr/bin/mpirun.mpich'];

/** @throws where apt-get fails, with its last words. */
export function installMpi() {
  if (PROGRAMS.every((program) => existsSync(program))) return;
  if (process.getuid?.() !== 0 || !existsSync('/etc/debian_version')) return;
  console.error('Installing Open MPI and MPICH …');
  apt('update');
  apt('install', '--yes', '--no-install-recommends', ...PACKAGES);
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
