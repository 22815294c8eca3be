/** Limits of the results panel, for pages too, which must not load schemas. */

/** Runs that are compared at once: more columns would not be in sight. */
export const MOST_COMPARED = 8;
