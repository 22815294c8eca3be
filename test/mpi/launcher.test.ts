import assert from 'node:assert/strict';
import { test } from 'node:test';
import { launcherOf } from '../../src/engine/distributed/launcher.ts';

test('a process that nothing started with others is alone', () => {
  assert.equal(launcherOf({}), null);
  // A script of a Slurm job has tasks, and no step that it is a task of.
  assert.equal(launcherOf({ SLURM_PROCID: '0', SLURM_NTASKS: '4', SLURM_JOB_ID: '7' }), null);
  assert.equal(launcherOf({ OMPI_COMM_WORLD_RANK: '', OMPI_COMM_WORLD_SIZE: '2' }), null);
});

test('each launcher is known by its variables, and brings its library', () => {
  const openMpi = launcherOf({ OMPI_COMM_WORLD_RANK: '1', OMPI_COMM_WORLD_SIZE: '4', PMIX_RANK: '1' });
  assert.deepEqual([openMpi?.rank, openMpi?.size, openMpi?.libraries[0]], [1, 4, 'libmpi.so.40']);
  const mpich = launcherOf({ PMI_RANK: '0', PMI_SIZE: '2' });
  assert.deepEqual([mpich?.rank, mpich?.size, mpich?.libraries.includes('libmpich.so.12')], [0, 2, true]);
  assert.equal(mpich?.libraries.includes('libmpi.so.40'), false);
  const slurm = launcherOf({ SLURM_PROCID: '3', SLURM_STEP_NUM_TASKS: '8', SLURM_STEP_ID: '0' });
  assert.deepEqual([slurm?.rank, slurm?.size, slurm?.name], [3, 8, "Slurm's srun"]);
  assert.equal(slurm?.libraries[0], 'libmpi.so.40');
  const proxy = { SLURM_PROCID: '1', SLURM_STEP_NUM_TASKS: '2', SLURM_STEP_ID: '0' };
  const pmi = launcherOf({ ...proxy, PMI_RANK: '3', PMI_SIZE: '4' });
  assert.deepEqual([pmi?.rank, pmi?.size, pmi?.libraries[0]], [3, 4, 'libmpi.so.12']);
});

test('one rank of each machine speaks, as far as the launcher tells', () => {
  const speaks = (local: Record<string, string>) =>
    launcherOf({ OMPI_COMM_WORLD_RANK: '4', OMPI_COMM_WORLD_SIZE: '8', ...local })?.speaks;
  assert.equal(speaks({ OMPI_COMM_WORLD_LOCAL_RANK: '0' }), true);
  assert.equal(speaks({ OMPI_COMM_WORLD_LOCAL_RANK: '1' }), false);
  assert.equal(speaks({}), false);
});

test('a mpirun inside a step of Slurm counts by itself', () => {
  const slurm = { SLURM_PROCID: '0', SLURM_STEP_NUM_TASKS: '1', SLURM_STEP_ID: '0' };
  assert.equal(launcherOf({ ...slurm, OMPI_COMM_WORLD_RANK: '2', OMPI_COMM_WORLD_SIZE: '3' })?.size, 3);
});

test('a library that is named is the only one that is tried', () => {
  const named = { PMI_RANK: '0', PMI_SIZE: '2', SPINQUANT_MPI_LIBRARY: '/opt/mpi/libmpi.so' };
  assert.deepEqual(launcherOf(named)?.libraries, ['/opt/mpi/libmpi.so']);
});
