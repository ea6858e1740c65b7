/** What this browser remembers of the reader's choices. */

/** -> null also where storage is forbidden. */
export function stored(key: string): string | null {
  try {
    return localStorage.getItem(`biopose.${key}`);
  } catch {
    return null;
  }
}

/** A browser that forbids storage forgets, which is all that is lost. */
export function store(key: string, value: string): void {
  try {
    localStorage.setItem(`biopose.${key}`, value);
  } catch {
    return;
  }
}
