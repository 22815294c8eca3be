import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { Worker } from 'node:worker_threads';

/** A holder gives a sign of life so often. */
const BEAT_MS = 5000;

/**
 * The thread's program. It writes the newline that every lock begins with once more: the file server's clock then stamps
 * the file, which a time set by hand would not do. Where the file is gone, there is nothing to keep alive.
 */
const PROGRAM = `
const { closeSync, fsyncSync, openSync, writeSync } = require('node:fs');
const { path, everyMs } = require('node:worker_threads').workerData;
const timer = setInterval(() => {
  try {
    const file = openSync(path, 'r+');
    try {
      writeSync(file, '\\n', 0);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (error.code === 'ENOENT') clearInterval(timer);
  }
}, everyMs);
`;

/** Writes that byte now. */
export function beat(path: string): void {
  const file = openSync(path, 'r+');
  try {
    writeSync(file, '\n', 0);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/**
 * Keeps a lock's file young, from a thread of its own: this one may be busy for minutes. The thread ends with the
 * process, however that ends, and does not keep it from ending.
 * @returns a function that stops it.
 */
export function startHeartbeat(path: string, everyMs = BEAT_MS): () => void {
  let stopFallback = (): void => {};
  const worker = new Worker(PROGRAM, {
    eval: true,
    workerData: { path, everyMs },
    // The loaders and debuggers of the main thread are of no use there.
    execArgv: [],
    env: {},
    name: 'heartbeat',
  });
  worker.unref();
  // Where no thread can be had, this one does it as well as it can.
  worker.on('error', () => {
    stopFallback = beatHere(path, everyMs);
  });
  return () => {
    stopFallback();
    void worker.terminate();
  };
}

function beatHere(path: string, everyMs: number): () => void {
  const timer = setInterval(() => {
    try {
      beat(path);
    } catch {
      clearInterval(timer); // The holder finds out by itself what became of its file.
    }
  }, everyMs);
  timer.unref();
  return () => clearInterval(timer);
}
