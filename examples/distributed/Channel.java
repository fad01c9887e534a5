// FileChannel: reading in sequence and at a place, mapping, transferring, writing by threads:
// java -cp FOLDER_OF_CLASSES Channel FOLDER

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.CRC32;

public class Channel {
    private static String sum(ByteBuffer bytes) {
        CRC32 crc = new CRC32();
        crc.update(bytes);
        return Long.toHexString(crc.getValue());
    }

    private static void read(Path big, Path copy) throws IOException {
        try (FileChannel in = FileChannel.open(big, StandardOpenOption.READ);
                FileChannel out = FileChannel.open(copy, StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
            ByteBuffer bytes = ByteBuffer.allocateDirect(1 << 20);
            CRC32 crc = new CRC32();
            while (in.read(bytes) >= 0) {
                crc.update(bytes.flip());
                bytes.clear();
            }
            System.out.println(Long.toHexString(crc.getValue()) + " of " + in.size());
            in.read(bytes, 1000000);
            System.out.println(sum(bytes.flip()));
            System.out.println(sum(in.map(FileChannel.MapMode.READ_ONLY, 0, in.size())));
            System.out.println(in.transferTo(0, in.size(), out));
        }
    }

    public static void main(String[] arguments) throws Exception {
        Path folder = Files.createDirectories(Paths.get(arguments[0]));
        Path big = folder.resolve("big"), copy = folder.resolve("copy");
        ByteBuffer pattern = ByteBuffer.allocate(3000001);
        while (pattern.hasRemaining())
            pattern.put((byte) (pattern.position() * 7 >> 5));
        Files.write(big, pattern.array());
        read(big, copy);
        List<Thread> threads = new ArrayList<>();
        for (int number = 0; number < 4; number++) {
            Path own = folder.resolve("thread" + number);
            threads.add(new Thread(() -> {
                try {
                    Files.writeString(own, own.getFileName() + "\n");
                } catch (IOException error) {
                    error.printStackTrace();
                }
            }));
        }
        threads.forEach(Thread::start);
        for (Thread thread : threads)
            thread.join();
        System.out.println(Files.readAllLines(folder.resolve("thread2")) + " " + Files.mismatch(big, copy));
        Files.move(copy, folder.resolve("moved"), StandardCopyOption.ATOMIC_MOVE);
        Files.delete(big);
        try (var names = Files.list(folder)) {
            names.map(Path::getFileName).sorted().forEach(System.out::println);
        }
    }
}
