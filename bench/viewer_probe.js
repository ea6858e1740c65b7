// Notes when what was on the page: evaluated by bench/viewer.py in a tab that shows it.
() => {
  const now = () => performance.timeOrigin + performance.now(); // ms, wall clock
  const found = { pictures: [], poses: [] };
  window.found = found;
  const times = (pose) => [String(pose.t_capture), String(pose.t_publish)];
  document.addEventListener("biopose:pose", (event) => found.poses.push([...times(event.detail), now()]));
  document.addEventListener("biopose:shown", (event) => found.pictures.push([...times(event.detail), now()]));
}
