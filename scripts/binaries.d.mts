export function platformOf(bytes: Uint8Array): string | null;
export function binariesIn(path: string): { path: string; platform: string }[];
