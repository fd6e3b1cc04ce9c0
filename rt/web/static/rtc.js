// The camera over WebRTC instead of the WebSocket, where the page's address has ?transport=webrtc: its track goes
// to the server and comes back translated. Offer and answer go over the WebSocket, with all their candidates.

export const wanted = new URLSearchParams(location.search).get("transport") === "webrtc";

export class Rtc {
  /** `on` has: offer(sdp), picture(video) for every translated picture, lost() when the connection is gone. */
  constructor(on) {
    this.on = on;
  }

  /** Send the camera that is open; one that is sent already goes on. */
  async begin(camera) {
    if (this.track === camera.track) return;
    this.close();
    this.track = camera.track;
    const connection = (this.connection = new RTCPeerConnection({ iceServers: [] }));
    connection.addTrack(camera.track, camera.stream);
    connection.ontrack = ({ track }) => this.watch(track);
    connection.onconnectionstatechange = () => {
      if (["failed", "closed"].includes(connection.connectionState)) this.lose(connection);
    };
    await connection.setLocalDescription(await connection.createOffer());
    if (connection.iceGatheringState !== "complete") {
      await new Promise((resolve) => {
        connection.onicegatheringstatechange = () => connection.iceGatheringState === "complete" && resolve();
      });
    }
    if (this.connection === connection) this.on.offer(connection.localDescription.sdp);
  }

  /** Take the server's answer. */
  async take(sdp) {
    if (this.connection?.signalingState === "have-local-offer") await this.connection.setRemoteDescription({ type: "answer", sdp });
  }

  close() {
    if (this.connection) this.connection.onconnectionstatechange = null;
    this.connection?.close();
    if (this.video) this.video.srcObject = null;
    this.connection = this.track = this.video = null;
  }

  lose(connection) {
    if (this.connection !== connection) return;
    this.close();
    this.on.lost();
  }

  watch(track) {
    const video = (this.video = document.createElement("video"));
    Object.assign(video, { muted: true, playsInline: true, srcObject: new MediaStream([track]) });
    video.play().catch(() => {}); // a connection that is closed meanwhile
    const again = () => (video.requestVideoFrameCallback ? video.requestVideoFrameCallback(show) : requestAnimationFrame(show));
    const show = async () => {
      if (this.video !== video) return;
      if (video.videoWidth) await this.on.picture(video);
      again();
    };
    again();
  }
}
