/** The experiment of the suites: few steps, all of them real. */
export const EXPERIMENT = 'lab.spinquant.json';
