// One requestAnimationFrame for the whole page: parts ask to be drawn, each is drawn once a frame at most.

const asked = new Map();
let scheduled = false;

function draw(now) {
  scheduled = false;
  const jobs = [...asked.values()];
  asked.clear();
  for (const job of jobs) job(now);
}

/** Calls `job(now)` in the next frame; asking again under the same name before that changes nothing. */
export function nextFrame(name, job) {
  asked.set(name, job);
  if (!scheduled) {
    scheduled = true;
    requestAnimationFrame(draw);
  }
}

/** A function that runs `job` in a frame, at most every `ms` milliseconds, and always once after the last call. */
export function throttled(name, ms, job) {
  let last = -Infinity;
  let timer = 0;
  const run = () => {
    timer = 0;
    last = performance.now();
    nextFrame(name, job);
  };
  return () => {
    if (timer) return;
    const wait = last + ms - performance.now();
    if (wait <= 0) run();
    else timer = setTimeout(run, wait);
  };
}
