/** The server's HTTP interface: status, recording, download. Every request carries the run's token. */

export class Refused extends Error {}

/** This browser cannot decode the video that the server sends. */
export class NoDecoder extends Error {}

/** The server's own sentence about why not. */
export class ServerSays extends Error {}

/** What the server says about the recording that it holds. */
export interface ReplayInfo {
  source: string;
  /** Ticks of 90 kHz from the first pose to the first picture, and how long the video is. */
  video: { offset: number; seconds: number } | null;
  notes: string[];
}

export interface Status {
  /** The server's monotonic clock when it answered, ns; null when it does not tell. */
  t: number | null;
  /** Milliseconds that asking took, and this page's wall clock (ms) when the answer began to arrive. */
  roundTripMs: number;
  wallMs: number;
  /** The id of the recording in progress. */
  recording: string | null;
  /** Set when a recording is shown instead of a run. */
  replay: ReplayInfo | null;
}

interface StatusAnswer {
  t?: unknown;
  recording?: unknown;
  source?: unknown;
  replay?: Omit<ReplayInfo, "source"> | null;
}

export class Api {
  constructor(readonly token: string) {}

  get headers(): Record<string, string> {
    return { Authorization: `Bearer ${this.token}` };
  }

  /** Raises Refused when the token is wrong, TypeError when the server cannot be reached. */
  async status(): Promise<Status> {
    const began = performance.now();
    const answer = await this.request("GET", "/api/status");
    const arrived = performance.now(); // not later: reading the body may wait for a busy page
    const content = (await answer.json()) as StatusAnswer | null;
    return {
      t: typeof content?.t === "number" ? content.t : null,
      roundTripMs: arrived - began,
      wallMs: performance.timeOrigin + arrived,
      recording: recordingId(content?.recording),
      replay: content?.replay == null ? null : { ...content.replay, source: String(content.source ?? "") },
    };
  }

  /** -> the new recording's id. */
  async startRecording(): Promise<string | null> {
    return recordingId(await (await this.request("POST", "/api/record/start")).json());
  }

  /** -> the id to download. */
  async stopRecording(): Promise<string | null> {
    return recordingId(await (await this.request("POST", "/api/record/stop")).json());
  }

  /** -> what the server holds at `path`. */
  async bytes(path: string): Promise<Uint8Array> {
    return new Uint8Array(await (await this.request("GET", path)).arrayBuffer());
  }

  /** -> the recording as a zip file. */
  async download(id: string): Promise<Blob> {
    return (await this.request("GET", `/api/recordings/${encodeURIComponent(id)}.zip`)).blob();
  }

  /** -> the answer's content; `content` is what is sent. */
  async json<T>(method: string, path: string, content?: unknown): Promise<T> {
    return (await (await this.request(method, path, content)).json()) as T;
  }

  private async request(method: string, path: string, content?: unknown): Promise<Response> {
    const body = content === undefined ? null : JSON.stringify(content);
    const answer = await fetch(path, { method, headers: this.headers, cache: "no-store", body });
    if (answer.status === 401 || answer.status === 403) throw new Refused("the token is wrong");
    if (!answer.ok) throw new ServerSays(await reason(answer));
    return answer;
  }
}

/** -> the server's own sentence about what went wrong, if it gives one. */
export async function reason(answer: Response): Promise<string> {
  const text = (await answer.text()).trim();
  try {
    const said: unknown = (JSON.parse(text) as { error?: unknown }).error;
    if (typeof said === "string") return said;
  } catch {
    if (text.length > 0 && text.length < 300 && !text.startsWith("<")) return text;
  }
  return `the server answered ${answer.status}`;
}

function recordingId(answer: unknown): string | null {
  if (answer === null || typeof answer !== "object") return null;
  const { id } = answer as { id?: unknown };
  return typeof id === "string" ? id : null;
}
