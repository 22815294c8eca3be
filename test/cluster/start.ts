/** Starts the virtual cluster for trying things by hand, until Ctrl-C. */
import { VirtualCluster, whyNoSlurm } from './virtual-cluster.ts';

const why = await whyNoSlurm();
if (why !== null) {
  console.error(`The cluster cannot start: ${why}. It must be started by root.`);
  process.exit(1);
}
const cluster = await VirtualCluster.start();
console.log(`Two nodes are up. In another terminal:\n  export SLURM_CONF=${cluster.env.SLURM_CONF}`);
process.on('SIGINT', () => void cluster.stop().then(() => process.exit(0)));
setInterval(() => {}, 60_000);
